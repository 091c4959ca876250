/** Who uses a character device: what it is handed, and what it does when it takes turns with others (mux.ts). */
import type { Connection } from '../../platform/connection.ts';

/** Has its turn, and loses it. */
export interface TurnTaker {
  takeTurn(): void;
  leaveTurn(): void;
}

export interface ChardevUser {
  /** A human monitor and a port take each key and show it; `control` takes lines that a terminal has shown. */
  readonly kind: 'monitor' | 'port' | 'control';
  /** A client is there. */
  connect(connection: Connection): TurnTaker | undefined;
  /** Of a port. Gives what there is to say about it, if anything. */
  sendBreak?(): string | undefined;
}
