/**
 * The `stdio` chardev: the process's own standard input and output. The end of the input ends nothing: the daemon goes
 * on, and may still have something to say.
 *
 * A user that takes single keys gets them as they are typed, not echoed by the terminal, when it is one (raw mode). Ctrl-C, Ctrl-\
 * and Ctrl-Z then still do to the process what they always do, unless the option `signal` is off.
 */
import type { Readable } from 'node:stream';
import type { Connection, ConnectionHandlers } from '../../platform/connection.ts';
import { StreamConnection } from '../../platform/node/stream-connection.ts';
import { streamOf } from '../shared/terminal.ts';
import type { Chardev } from './chardev.ts';

/** Keys, and the signals that a terminal sends for them. */
const signals: ReadonlyMap<number, NodeJS.Signals> = new Map([
  [0x03, 'SIGINT'],
  [0x1c, 'SIGQUIT'],
  [0x1a, 'SIGTSTP'],
]);

class StdioConnection extends StreamConnection {
  constructor(
    input: Readable,
    release: () => void,
    private readonly onKeys: (bytes: Uint8Array) => Uint8Array,
  ) {
    super(input, streamOf(1), release);
  }

  override start(handlers: ConnectionHandlers): void {
    super.start({
      ...handlers,
      data: (bytes) => {
        const rest = this.onKeys(bytes);
        if (rest.length > 0) handlers.data(rest);
      },
      ended: () => {},
      closed: () => {},
    });
  }
}

export class StdioChardev implements Chardev {
  readonly filename = 'stdio';
  private readonly stdin = process.stdin;
  private isRaw = false;

  constructor(private readonly hasSignals: boolean) {}

  takeKeys(): void {
    if (!this.stdin.isTTY) return;
    this.isRaw = true;
    this.stdin.setRawMode(true);
    process.on('SIGCONT', this.continued);
  }

  serve(onConnection: (connection: Connection) => void): void {
    const connection = new StdioConnection(
      this.stdin,
      () => this.stdin.pause(),
      (bytes) => (this.isRaw && this.hasSignals ? this.withoutSignals(bytes) : bytes),
    );
    onConnection(connection);
  }

  close(): void {
    this.leaveRawMode();
    process.off('SIGCONT', this.continued);
    // Waiting for more input would keep the process alive.
    this.stdin.destroy();
  }

  private withoutSignals(bytes: Uint8Array): Uint8Array {
    return bytes.filter((byte) => {
      const signal = signals.get(byte);
      if (signal === undefined) return true;
      // Whoever has the terminal next finds it as we did.
      if (signal !== 'SIGINT') this.leaveRawMode();
      process.kill(process.pid, signal);
      return false;
    });
  }

  private leaveRawMode(): void {
    if (this.isRaw) this.stdin.setRawMode(false);
  }

  private readonly continued = (): void => {
    this.stdin.setRawMode(true);
  };
}
