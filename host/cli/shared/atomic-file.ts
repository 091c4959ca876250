/**
 * A file that is there whole or not at all: it is written under a temporary name in the same folder, and takes its own
 * name when it is durable. Until then what had that name stays as it is; an error, and a signal that ends the program,
 * leave no temporary file behind. (A program that is killed by SIGKILL, or a crash of the system, leave it.)
 *
 * Only regular files: to take the name of a device or of a link would put a file in its place.
 */
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
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
    const existing = systemCall(target, () => fs.lstatSync(this.target, { throwIfNoEntry: false }));
    if (existing && !existing.isFile()) throw invalid(`'${target}' is not a regular file`);
    systemCall(target, () => fs.closeSync(fs.openSync(this.path, 'wx', newFileMode)));
    for (const signal of endingSignals) process.on(signal, this.onSignal);
    if (existing) fs.chmodSync(this.path, existing.mode);
  }

  /** Whoever had it open has closed it. Errors: BlockError; what had the name has it still. */
  commit(): void {
    systemCall(this.target, () => {
      syncPath(this.path, 'r+');
      fs.renameSync(this.path, this.target);
      this.end();
      syncPath(dirname(this.target), 'r');
    });
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

function syncPath(path: string, flags: string): void {
  const fd = fs.openSync(path, flags);
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

function systemCall<T>(target: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    const failure = fromSystemError(error);
    throw new BlockError(failure.errno, `Could not create '${target}': ${failure.message}`, { cause: error });
  }
}
