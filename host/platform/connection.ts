/**
 * A byte stream with a peer, as servers see it: a socket, standard input and output, a message port.
 *
 * Nothing arrives before `start`. The peer decides how fast it reads, so a writer looks at `unsentBytes`; what was written
 * before `close` still goes out.
 */

/** Any byte stream in both directions. Nothing arrives before `start`. */
export interface Connection {
  start(handlers: ConnectionHandlers): void;
  write(bytes: Uint8Array): void;
  /** Written and not yet on its way. */
  readonly unsentBytes: number;
  pause(): void;
  resume(): void;
  /** What was written still goes out. */
  close(): void;
}

/** What is told to whoever a connection was started for. */
export interface ConnectionHandlers {
  data(bytes: Uint8Array): void;
  /** All that was written is on its way. */
  drained(): void;
  /** The client will send no more, but may still listen. */
  ended(): void;
  closed(): void;
}
