/**
 * A machine as one file that leaves the browser and comes back, here or elsewhere: a tar archive of what is kept of it, in a folder of its
 * name. The images in it are the files as they are here, so that saved machines and chains of backups hold, and `qemu-img` can read them
 * where the archive is unpacked; `NAME.machine.json` says what they are.
 *
 * An archive is streamed either way. What comes back is checked first: it may be from anybody. Not in it is the image that the
 * machine was started from.
 */
import { download } from './download.ts';
import { bytes } from './format.ts';
import { checkedDescription } from './machine-description.ts';
import { holdMachine } from './machine-lock.ts';
import {
  forgetChanges,
  imagesOf,
  type MachineState,
  machineOf,
  readState,
  saveState,
  stateFile,
} from './machine-state.ts';
import { listFiles, openFiles, removeFiles, withSideFiles, writeStream } from './own-files.ts';
import { readTar, type TarEntry, writeTar } from './tar.ts';

/** Bytes that are through, and how many there are. */
export type Progress = (done: number, total: number) => void;

const longestDescription = 1 << 20;

/** Settles when the browser has all of it. Errors: it is open in another tab, lacks a file, or cannot be written; AbortError: nobody chose a file for it. */
export async function exportMachine(name: string, progress: Progress): Promise<void> {
  const letGo = await holdMachine(name);
  try {
    const archive = writeTar(await entriesOf(name), new Date());
    const stream = archive.stream().pipeThrough(counting(archive.size, progress));
    await download(stream, archive.size, `${name}.tar`);
  } finally {
    letGo();
  }
}

async function entriesOf(name: string): Promise<TarEntry[]> {
  const state = await readState(name);
  if (!state) throw new Error(`There is no machine “${name}” any more.`);
  const { disks, backups } = imagesOf(state);
  const files = await openFiles([...disks, ...backups].flatMap(withSideFiles));
  const missing = backups.find((path) => !files.has(path));
  if (missing !== undefined) throw new Error(`“${missing}”, of a backup, is not there any more.`);
  // A backup that was never complete stays behind.
  if (state.unfinished.length > 0) forgetChanges(state, 'interrupted');
  const description = new Blob([JSON.stringify({ ...state, unfinished: [] } satisfies MachineState)]);
  const all = [[stateFile(name), description] as const, ...files];
  return all.map(([path, content]) => ({ name: `${name}/${path}`, content }));
}

/** Gives the name of the machine, which is among those kept here afterwards. Errors, each with the name of the file: it is no such archive; the machine or a file of it is here already; there is no room. Nothing is left of it then. */
export async function importMachine(archive: File, progress: Progress): Promise<string> {
  try {
    const found = await contentOf(archive);
    const letGo = await holdMachine(found.name);
    try {
      await keep(found, progress);
    } finally {
      letGo();
    }
    return found.name;
  } catch (error) {
    throw new Error(`${archive.name}: ${(error as Error).message}`, { cause: error });
  }
}

interface Found {
  readonly name: string;
  readonly state: MachineState;
  readonly files: ReadonlyMap<string, Blob>;
}

/** Of whatever somebody has chosen. */
async function contentOf(archive: File): Promise<Found> {
  const entries = await readTar(archive);
  const files = new Map<string, Blob>();
  for (const { name, content } of entries) {
    const path = name.slice(name.lastIndexOf('/') + 1);
    if (files.has(path)) throw new Error(`It has “${path}” twice.`);
    files.set(path, content);
  }
  const [name, another] = [...files.keys()].flatMap((path) => machineOf(path) ?? []);
  if (name === undefined || !/^[\w.-]+$/.test(name)) throw new Error('No machine was exported to it.');
  if (another !== undefined) throw new Error(`It has two machines, ${name} and ${another}.`);
  const state = await descriptionOf(name, files.get(stateFile(name))!); // the name is that file's
  files.delete(stateFile(name));
  const { disks, backups } = imagesOf(state);
  const own = new Set([...disks, ...backups].flatMap(withSideFiles));
  const stranger = [...files.keys()].find((path) => !own.has(path));
  if (stranger !== undefined) throw new Error(`“${stranger}” in it does not belong to ${name}.`);
  const missing = backups.find((path) => !files.has(path));
  if (missing !== undefined) throw new Error(`It lacks “${missing}”, of a backup.`);
  return { name, state, files };
}

async function descriptionOf(name: string, content: Blob): Promise<MachineState> {
  try {
    if (content.size > longestDescription) throw new Error('it is too long');
    return checkedDescription(name, await content.text());
  } catch (error) {
    throw new Error(`Its description of ${name} is damaged: ${(error as Error).message}.`, { cause: error });
  }
}

async function keep({ name, state, files }: Found, progress: Progress): Promise<void> {
  if (await readState(name))
    throw new Error(
      `There is a machine “${name}” here already: export that if you need it, and delete it first.`,
    );
  const present = await listFiles();
  const taken = [...files.keys()].find((path) => present.has(path));
  if (taken !== undefined)
    throw new Error(`“${taken}” is here already, of no machine: remove what was left over first.`);
  const needed = [...files.values()].reduce((total, { size }) => total + size, 0);
  let done = 0;
  const tell: Progress = (ofFile) => progress(done + ofFile, needed);
  try {
    for (const [path, content] of files) {
      await writeStream(path, content.stream().pipeThrough(counting(content.size, tell)));
      done += content.size;
    }
    // Last: until then the files are nobody's.
    await saveState(name, state);
  } catch (error) {
    await removeFiles([...files.keys(), stateFile(name)]);
    // How much there is no browser tells before.
    if ((error as Error).name === 'QuotaExceededError')
      throw new Error(`It needs ${bytes(needed)}, and the browser has no room for that.`, { cause: error });
    throw error;
  }
}

function counting(
  total: number,
  progress: Progress,
): TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>> {
  let done = 0;
  return new TransformStream({
    transform(chunk, controller) {
      done += chunk.length;
      progress(done, total);
      controller.enqueue(chunk);
    },
  });
}
