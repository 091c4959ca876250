/** The `null` chardev: nothing comes in, and what goes out is gone. */
import type { Connection } from '../../platform/connection.ts';
import type { Chardev } from './chardev.ts';
import { StreamConnection } from './stream-connection.ts';

export class NullChardev implements Chardev {
  serve(onConnection: (connection: Connection) => void): void {
    onConnection(new StreamConnection(undefined, undefined, () => {}));
  }

  close(): void {}
}
