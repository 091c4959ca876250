/** A request of a client, from when it is made until its reply is complete. */
import type { BlockError } from '../../base/errors.ts';

export class ClientRequest {
  /** Of a READ: bytes that the server has told so far. */
  told = 0;
  /** The server's first complaint. */
  error: BlockError | undefined;
  /** Of a BLOCK_STATUS: what is known, from its offset on. */
  status: { readonly bytes: number; readonly flags: number } | undefined;

  constructor(
    /** One of `Command`. */
    readonly command: number,
    /** `CommandFlag`s. */
    readonly flags: number,
    readonly offset: number,
    /** Bytes. */
    readonly length: number,
    /** What a WRITE writes, and where a READ puts what it gets: `length` bytes that nobody else touches meanwhile. */
    readonly data: Uint8Array | undefined,
    /** The reply is complete; or there will be none. */
    readonly settle: (request: ClientRequest) => void,
  ) {}

  /** As if it had never been sent: to be sent again. */
  reset(): void {
    this.told = 0;
    this.error = undefined;
    this.status = undefined;
  }
}
