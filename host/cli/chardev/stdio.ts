/**
 * The `stdio` chardev: the process's own standard input and output. The end of the input ends nothing: the daemon goes
 * on, and may still have something to say.
 */
import type { Readable } from 'node:stream';
import type { Connection, ConnectionHandlers } from '../../platform/connection.ts';
import type { Chardev } from './chardev.ts';
import { StreamConnection } from './stream-connection.ts';

class StdioConnection extends StreamConnection {
  override start(handlers: ConnectionHandlers): void {
    super.start({ ...handlers, ended: () => {}, closed: () => {} });
  }
}

export class StdioChardev implements Chardev {
  private readonly stdin: Readable = process.stdin;

  serve(onConnection: (connection: Connection) => void): void {
    onConnection(new StdioConnection(this.stdin, process.stdout, () => this.stdin.pause()));
  }

  close(): void {
    // Waiting for more input would keep the process alive.
    this.stdin.destroy();
  }
}
