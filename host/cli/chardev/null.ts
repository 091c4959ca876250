/** The `null` chardev: nothing comes in, and what goes out is gone. */
import type { Connection } from '../../platform/connection.ts';
import { StreamConnection } from '../../platform/node/stream-connection.ts';
import type { Chardev } from './chardev.ts';

export class NullChardev implements Chardev {
  readonly filename = 'null';

  serve(onConnection: (connection: Connection) => void): void {
    onConnection(new StreamConnection(undefined, undefined, () => {}));
  }

  close(): void {}
}
