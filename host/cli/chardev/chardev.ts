/**
 * Character devices: where a monitor's bytes come from and go to (specification: cli, section 5).
 *
 * A chardev hands its user, or those who share it, one connection after the other: a socket that listens one for each client,
 * everything else just one. How a chardev is described on the command line is in options.ts; who uses which, and when they
 * are handed their connections, in chardevs.ts.
 */
import type { Connection } from '../../platform/connection.ts';

export interface Chardev {
  /** The command line goes on when this has settled. Rejects with ECANCELED when it is closed first. Absent: at once. */
  readonly whenReady?: Promise<void>;
  /** As query-chardev names it, which tells whether it is connected. */
  readonly filename: string;
  /** Its user takes single keys and echoes them itself: a terminal is told. Absent: there is no terminal. */
  takeKeys?(): void;
  /** Hands over the connection there is and those that follow, one at a time. To be called once. */
  serve(onConnection: (connection: Connection) => void): void;
  /** No more connections come, and the name in the file system, if there was one, is gone. Those made stay. */
  close(): void;
}
