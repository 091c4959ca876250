/**
 * A byte stream with a peer, as servers see it: a socket, standard input and output, a message port.
 *
 * Nothing arrives before `start`. The peer decides how fast it reads, so a writer looks at `unsentBytes`; what was written
 * before `close` still goes out.
 */

/** What is to be written. */
export interface Outgoing {
  readonly bytes: Uint8Array;
  /** Told when nobody needs the memory any more, so that it can be used again; it may never be, and then the bytes stay as they are. */
  readonly sent?: (() => void) | undefined;
}

/** Any byte stream in both directions. Nothing arrives before `start`. */
export interface Connection {
  start(handlers: ConnectionHandlers): void;
  /** `sent`: as of `Outgoing`. */
  write(bytes: Uint8Array, sent?: () => void): void;
  /** As `write` of one after the other, for less. Absent: it is nothing else. */
  writeAll?(pieces: readonly Outgoing[]): void;
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
  /** For connections that can put what arrives where it is wanted; they tell of it here instead of by `data`. */
  readonly into?: Destination;
  /** All that was written is on its way. */
  drained(): void;
  /** The client will send no more, but may still listen. */
  ended(): void;
  closed(): void;
}

/** Where those want bytes who would copy them from where they came. */
export interface Destination {
  /** Room for what arrives next, 1 byte at least. Asked again after each `filled`. */
  room(): Uint8Array;
  /** The first `bytes` of the room are there. */
  filled(bytes: number): void;
}
