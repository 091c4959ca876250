/** `logfile=PATH` of any chardev: what goes out through it is kept in a file too. */
import * as fs from 'node:fs';
import type { Connection, ConnectionHandlers } from '../../platform/connection.ts';
import { fromSystemError } from '../../platform/node/errors.ts';
import type { Chardev } from './chardev.ts';

class LogFile {
  private constructor(private fd: number | undefined) {}

  /** Errors: BlockError. */
  static open(path: string, append: boolean): LogFile {
    try {
      return new LogFile(fs.openSync(path, append ? 'a' : 'w', 0o666));
    } catch (error) {
      throw fromSystemError(error).within(`Could not create '${path}'`);
    }
  }

  write(bytes: Uint8Array): void {
    if (this.fd === undefined) return;
    try {
      fs.writeSync(this.fd, bytes);
    } catch {
      // The disk is full, or the like: what cannot be kept is lost, and those who talk go on.
    }
  }

  close(): void {
    if (this.fd !== undefined) fs.closeSync(this.fd);
    this.fd = undefined;
  }
}

class LoggedConnection implements Connection {
  constructor(
    private readonly inner: Connection,
    private readonly log: LogFile,
  ) {}

  start(handlers: ConnectionHandlers): void {
    this.inner.start(handlers);
  }

  write(bytes: Uint8Array): void {
    this.log.write(bytes);
    this.inner.write(bytes);
  }

  get unsentBytes(): number {
    return this.inner.unsentBytes;
  }

  pause(): void {
    this.inner.pause();
  }

  resume(): void {
    this.inner.resume();
  }

  close(): void {
    this.inner.close();
  }
}

class LoggedChardev implements Chardev {
  readonly whenReady: Promise<void>;

  constructor(
    private readonly inner: Chardev,
    private readonly log: LogFile,
  ) {
    this.whenReady = inner.whenReady ?? Promise.resolve();
  }

  get filename(): string {
    return this.inner.filename;
  }

  takeKeys(): void {
    this.inner.takeKeys?.();
  }

  serve(onConnection: (connection: Connection) => void): void {
    this.inner.serve((connection) => onConnection(new LoggedConnection(connection, this.log)));
  }

  close(): void {
    this.inner.close();
    this.log.close();
  }
}

/** What `open` gives, with what goes out kept in the file at `path`. Errors: BlockError; the file stays. */
export async function withLog(
  { path, append }: { path: string; append: boolean },
  open: () => Chardev | Promise<Chardev>,
): Promise<Chardev> {
  const log = LogFile.open(path, append);
  try {
    return new LoggedChardev(await open(), log);
  } catch (error) {
    log.close();
    throw error;
  }
}
