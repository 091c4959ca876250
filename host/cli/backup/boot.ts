/**
 * Whether a machine of a repository starts: its disks, read from there through overlays that are thrown away, in `blockyard vm`, until it
 * says on its serial port what it is to say.
 *
 * The program is another process, so that a guest that hangs is ended when its time is over. The password is handed to it in a file that
 * nobody else can read.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { BlockError } from '../../base/errors.ts';
import { createImage } from '../../block/create.ts';
import type { BlockGraph } from '../../block/graph.ts';
import { disksOf } from '../../store/machine.ts';
import type { Repository } from '../../store/repository.ts';
import type { NamedSnapshot } from '../../store/snapshot.ts';
import { endingSignals } from '../shared/daemon.ts';

/** v86 has so many. */
const maxDisks = 2;
/** Of what the guest has said, as much is kept as a text may need that comes in parts, and as is told when it never comes. */
const keptChars = 64 << 10;
const shownChars = 2000;

interface BootSettings {
  /** As the driver `store` takes it. */
  readonly repositoryName: string;
  readonly password: string;
  /** What the guest is to say. */
  readonly text: string;
  readonly seconds: number;
  /** Further options of `blockyard vm`. */
  readonly options: readonly string[];
}

/** Errors: EIO: it has not said so in time, or has ended before; why its disks cannot be read. */
export async function bootSnapshot(
  graph: BlockGraph,
  repository: Repository,
  snapshot: NamedSnapshot,
  settings: BootSettings,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'blockyard-boot-'));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  process.once('exit', remove);
  try {
    const disks = (await disksOf(repository, snapshot)).slice(0, maxDisks);
    if (disks.length === 0) throw new BlockError('ENOENT', 'it has no disks');
    const secret = join(folder, 'password');
    writeFileSync(secret, settings.password, { mode: 0o600 });
    const drives: string[] = [];
    for (const [i, { path, file }] of disks.entries()) {
      const filename = join(folder, `${i}.qcow2`);
      await createImage(graph, { filename, format: 'qcow2', size: file.size, quiet: true });
      const base = { driver: 'store', disk: path, snapshot: snapshot.id, 'password-secret': 'repository' };
      const overlay = {
        driver: 'qcow2',
        'node-name': `disk${i}`,
        file: { driver: 'file', filename },
        backing: { ...base, repository: settings.repositoryName, 'read-only': true },
      };
      drives.push(
        '-blockdev',
        JSON.stringify(overlay),
        '-device',
        `ide-hd,drive=disk${i},bus=ide.0,unit=${i}`,
      );
    }
    const object = `secret,id=repository,file=${secret.replaceAll(',', ',,')}`;
    await waitFor(['-object', object, ...drives, ...settings.options], settings);
  } finally {
    process.off('exit', remove);
    remove();
  }
}

async function waitFor(args: readonly string[], { text, seconds }: BootSettings): Promise<void> {
  const program = resolve(process.argv[1] ?? '');
  const child = spawn(process.execPath, [...process.execArgv, program, 'vm', ...args, '-serial', 'stdio'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const end = (): void => void child.kill('SIGKILL');
  for (const signal of endingSignals) process.once(signal, end);
  const timer = setTimeout(end, seconds * 1000);
  const closed = once(child, 'close');
  let [said, errors, isThere] = ['', '', false];
  child.stdout.setEncoding('latin1').on('data', (part: string) => {
    said = (said + part).slice(-keptChars);
    if (!said.includes(text)) return;
    isThere = true;
    end();
  });
  child.stderr.setEncoding('utf8').on('data', (part: string) => {
    errors = (errors + part).slice(-keptChars);
  });
  try {
    await closed;
  } finally {
    clearTimeout(timer);
    for (const signal of endingSignals) process.off(signal, end);
  }
  if (isThere) return;
  const why = errors === '' ? `within ${seconds} s` : `: ${errors.trim()}`;
  const last = said === '' ? 'nothing' : JSON.stringify(said.slice(-shownChars));
  throw new BlockError('EIO', `the machine has not said '${text}' ${why}; it said last: ${last}`);
}
