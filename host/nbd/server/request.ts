/** Requests as a server reads them off the wire, one after the other, with what comes with them (specification: nbd, section 3). */
import { Command, CommandFlag, extendedRequestMagic, maxPayloadBytes, requestMagic } from '../constants.ts';
import type { Input } from '../input.ts';
import type { MetaContext } from './offer.ts';

const compactBytes = 28;
const extendedBytes = 32;

/** Where payloads go that did not come in one piece. */
export interface PayloadMemory {
  /** At least `bytes` long, with any content. */
  take(bytes: number): Uint8Array;
}

export class Request {
  /** What came with it: the data of a WRITE, or what a BLOCK_STATUS is about. */
  payload: Uint8Array | undefined;
  /** What the payload is in, to be given back when it is no longer needed; absent when it is where it came. */
  memory: Uint8Array | undefined;
  /** Of a BLOCK_STATUS: how far, and in which contexts. */
  status: { readonly bytes: number; readonly contexts: readonly MetaContext[] } | undefined;

  constructor(
    readonly magic: number,
    readonly flags: number,
    readonly command: number,
    /** The client's name for it, two words. */
    readonly cookieHigh: number,
    readonly cookieLow: number,
    readonly offsetHigh: number,
    readonly offsetLow: number,
    readonly lengthHigh: number,
    readonly lengthLow: number,
  ) {}

  /** Bytes; exact up to 2^53. */
  get offset(): number {
    return this.offsetHigh * 2 ** 32 + this.offsetLow;
  }

  /** Bytes; exact up to 2^53. */
  get length(): number {
    return this.lengthHigh * 2 ** 32 + this.lengthLow;
  }

  get isFua(): boolean {
    return (this.flags & CommandFlag.fua) !== 0;
  }
}

/** What ends a connection: nobody knows where the next request would begin. */
interface BrokenRequest {
  readonly request: Request;
  readonly message: string;
}

export class RequestReader {
  /** One whose payload is still on its way. */
  private pending: Request | undefined;

  constructor(
    private readonly input: Input,
    private readonly isExtended: boolean,
    private readonly memory: PayloadMemory,
  ) {}

  /** The next one that has arrived as a whole. */
  next(): Request | BrokenRequest | undefined {
    if (this.pending) return this.fill(this.pending);
    const head = this.input.read(this.isExtended ? extendedBytes : compactBytes);
    if (!head) return undefined;
    const request = this.parse(head);
    const expected = this.isExtended ? extendedRequestMagic : requestMagic;
    if (request.magic !== expected) {
      const [found, wanted] = [request.magic, expected].map((magic) => `0x${magic.toString(16)}`);
      return { request, message: `invalid magic (got ${found}, expected ${wanted})` };
    }
    const bytes = this.payloadBytes(request);
    if (bytes > maxPayloadBytes) return { request, message: tooLong(request) };
    if (bytes === 0) return request;
    // Copied where it has arrived already, so that the input's memory is used again: to make some takes longer.
    request.memory = this.memory.take(bytes);
    request.payload = request.memory.subarray(0, bytes);
    return this.fill(request);
  }

  /** What is missing of a request that will not come whole; undefined when none has begun. */
  get missing(): string | undefined {
    if (this.pending)
      return 'Failed to read CMD_WRITE data: Unexpected end-of-file before all data were read';
    const headBytes = this.isExtended ? extendedBytes : compactBytes;
    const hasBegun = this.input.length > 0 && this.input.length < headBytes;
    return hasBegun ? 'Unexpected end-of-file before all bytes were read' : undefined;
  }

  private parse(head: Uint8Array): Request {
    const at = new DataView(head.buffer, head.byteOffset, head.length);
    const word = (index: number): number => at.getUint32(index);
    const [lengthHigh, lengthLow] = this.isExtended ? [word(24), word(28)] : [0, word(24)];
    return new Request(
      word(0),
      at.getUint16(4),
      at.getUint16(6),
      word(8),
      word(12),
      word(16),
      word(20),
      lengthHigh,
      lengthLow,
    );
  }

  private payloadBytes({ command, flags, length }: Request): number {
    if (command === Command.write) return length;
    return this.isExtended && (flags & CommandFlag.payloadLength) !== 0 ? length : 0;
  }

  private fill(request: Request): Request | undefined {
    const payload = request.payload!; // those that wait have one
    this.pending = this.input.fill(payload) ? undefined : request;
    return this.pending ? undefined : request;
  }
}

export function tooLong(request: Request): string {
  return `len (${exactLength(request)}) is larger than max len (${maxPayloadBytes})`;
}

export function exactLength({ lengthHigh, lengthLow }: Request): bigint {
  return (BigInt(lengthHigh) << 32n) + BigInt(lengthLow);
}

export function exactOffset({ offsetHigh, offsetLow }: Request): bigint {
  return (BigInt(offsetHigh) << 32n) + BigInt(offsetLow);
}

/** As events tell it. */
export function cookieOf({ cookieHigh, cookieLow }: Request): string {
  return `0x${((BigInt(cookieHigh) << 32n) + BigInt(cookieLow)).toString(16)}`;
}
