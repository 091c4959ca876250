/**
 * What the page remembers of a machine beside its disks: which files they are, and the backups there are of them. It is a
 * file among them, which outlives a killed browser as they do.
 */
import { rootDirectory } from '../platform/browser/paths.ts';
import type { Backup } from './session.ts';

export interface MachineState {
  /** Of the overlays that the machine runs on, by disk. */
  files: Record<string, string>;
  /** Of the backup that these start from; undefined: from the image. */
  base: number | undefined;
  /** Newest last. */
  backups: Backup[];
  /** Backups up to this number were made of other overlays: no bitmap tells what has changed since. */
  unrelated: number;
  /** Files of a backup that was not complete when it was last heard of. */
  unfinished: string[];
  /** Counts names that were given out. */
  names: number;
}

const fileOf = (name: string): string => `${name}.machine.json`;

/** Errors: BlockError: the browser keeps no files for this page; DOMException; SyntaxError: the file is not what was written. */
export async function loadState(name: string, disks: readonly string[]): Promise<MachineState> {
  const directory = await rootDirectory();
  try {
    const file = await (await directory.getFileHandle(fileOf(name))).getFile();
    const text = await file.text();
    // Empty: the browser died while it was first written.
    if (text !== '') return JSON.parse(text) as MachineState;
  } catch (error) {
    if (!(error instanceof DOMException && error.name === 'NotFoundError')) throw error;
  }
  const files = Object.fromEntries(disks.map((disk) => [disk, `${name}-${disk}.qcow2`]));
  return { files, base: undefined, backups: [], unrelated: 0, unfinished: [], names: 0 };
}

/** All of it is there afterwards, or what was there before. */
export async function saveState(name: string, state: MachineState): Promise<void> {
  const directory = await rootDirectory();
  const handle = await directory.getFileHandle(fileOf(name), { create: true });
  const writable = await handle.createWritable();
  await writable.write(JSON.stringify(state));
  await writable.close();
}
