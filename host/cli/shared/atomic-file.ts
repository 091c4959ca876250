/**
 * A file that is there whole or not at all: it is written under a temporary name in the same folder, and takes its own
 * name when it is durable. Until then what had that name stays as it is; an error, and a signal that ends the program,
 * leave no temporary file behind. (A program that is killed by SIGKILL, or a crash of the system, leave it.)
 *
 * Only regular files: to take the name of a device or of a link would put a file in its place.
 */
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { open } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { BlockError, invalid } from '../../base/errors.ts';
import { fromSystemError } from '../../platform/node/errors.ts';
import { endingSignals } from './daemon.ts';

/** Permission bits of a file that was not there before, before the umask. */
const newFileMode = 0o644;

export class AtomicFile {
  /** The temporary name, absolute. The file is there, and empty. */
  readonly path: string;
  private readonly target: string;
  private isOver = false;

  /** Errors: BlockError; there is no file then. */
  constructor(target: string) {
    this.target = resolve(target);
    const name = `.${basename(this.target).slice(0, 32)}.${process.pid}-${randomBytes(4).toString('hex')}`;
    this.path = join(dirname(this.target), name);
    // Before there is a file: a signal may come as soon as somebody sees it.
    for (const signal of endingSignals) process.on(signal, this.onSignal);
    let isThere = false;
    try {
      const existing = fs.lstatSync(this.target, { throwIfNoEntry: false });
      if (existing && !existing.isFile()) throw invalid(`'${target}' is not a regular file`);
      fs.writeFileSync(this.path, '', { flag: 'wx', mode: newFileMode });
      isThere = true;
      if (existing) fs.chmodSync(this.path, existing.mode);
    } catch (error) {
      if (isThere) this.discard();
      else this.end();
      if (error instanceof BlockError) throw error;
      throw notCreated(target, error);
    }
  }

  /** Whoever had it open has closed it. Errors: BlockError; what had the name has it still. */
  async commit(): Promise<void> {
    try {
      await syncPath(this.path, 'r+');
      fs.renameSync(this.path, this.target);
      this.end();
    } catch (error) {
      throw notCreated(this.target, error);
    }
    try {
      await syncPath(dirname(this.target), 'r');
    } catch {
      // A folder that cannot be synchronised, or not be opened: after a crash of the system the old file may have the name.
    }
  }

  /** Removes the temporary file; does nothing after `commit`. */
  discard(): void {
    if (this.isOver) return;
    fs.rmSync(this.path, { force: true });
    this.end();
  }

  private end(): void {
    this.isOver = true;
    for (const signal of endingSignals) process.off(signal, this.onSignal);
  }

  /** Ends the program as the signal would have done. */
  private readonly onSignal = (signal: NodeJS.Signals): void => {
    this.discard();
    process.kill(process.pid, signal);
  };
}

/** By a handle: Node's permission model refuses to synchronise a bare descriptor. */
async function syncPath(path: string, flags: string): Promise<void> {
  const handle = await open(path, flags);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function notCreated(target: string, error: unknown): BlockError {
  const { errno, message } = fromSystemError(error);
  return new BlockError(errno, `Could not create '${target}': ${message}`, { cause: error });
}
