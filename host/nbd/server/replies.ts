/**
 * Replies as a server writes them, in the form that was negotiated (specification: nbd, section 3).
 *
 * A reply of several chunks may have others' chunks between them. The last one says so (`isLast`).
 */
import { assert } from '../../base/assert.ts';
import { viewOf } from '../../base/view-of.ts';
import { nbdReply } from '../../trace/events.ts';
import {
  Chunk,
  CommandFlag,
  chunkDone,
  extendedReplyMagic,
  maxStringBytes,
  type ReplyForm,
  simpleReplyMagic,
  structuredReplyMagic,
} from '../constants.ts';
import { setU64 } from '../fields.ts';
import type { Output } from '../output.ts';
import { cookieOf, type Request } from './request.ts';

const simpleHeadBytes = 16;
const structuredHeadBytes = 20;
const extendedHeadBytes = 32;
const offsetBytes = 8;

/** Longer data does not go into the gathered output. */
const maxInPlaceBytes = 32_768;

/** Equal status, in one context. */
export interface StatusExtent {
  readonly bytes: number;
  readonly flags: number;
}

/** Room for the data of a reply, in the output itself. */
interface InPlace {
  readonly data: Uint8Array;
  /** There will be no such reply; nothing else has been written meanwhile. */
  takeBack(): void;
}

export class Replies {
  constructor(
    private readonly output: Output,
    private readonly form: ReplyForm,
    /** As it is called where events are watched. */
    private readonly client: number,
  ) {}

  /** Whether zeros of a READ may be told as holes. */
  takesHoles({ flags }: Request): boolean {
    return this.form !== 'simple' && (flags & CommandFlag.df) === 0;
  }

  /** The request is done; there is nothing else to say. */
  done(request: Request): void {
    if (this.form === 'extended') this.chunk(request, Chunk.none, 0, true);
    else this.simple(request, 0);
  }

  /** `error`: its number on the wire. `message` reaches clients with structured replies only. */
  fail(request: Request, error: number, message: string): void {
    if (this.form === 'simple') {
      this.simple(request, error);
      return;
    }
    const text = new TextEncoder().encode(message).subarray(0, maxStringBytes);
    const bytes = 6 + text.length;
    const at = this.chunk(request, Chunk.error, bytes, true, bytes, error);
    const view = viewOf(at);
    view.setUint32(0, error);
    view.setUint16(4, text.length);
    at.set(text, 6);
  }

  /** A READ of nothing. */
  empty(request: Request): void {
    if (this.form === 'simple') this.simple(request, 0);
    else this.chunk(request, Chunk.none, 0, true);
  }

  /** Data of a READ, from `offset` on; all of it when replies are simple. Nobody changes it before `sent` is told, if ever. */
  data(request: Request, offset: number, data: Uint8Array, isLast: boolean, sent?: () => void): void {
    this.dataHead(request, offset, data.length, isLast, 0);
    this.output.add(data, sent);
  }

  /** As `data` for all that was asked for, to be filled at once. Undefined: that is too much, or nothing. */
  dataInPlace(request: Request): InPlace | undefined {
    const { offset, length } = request;
    if (length > maxInPlaceBytes || length === 0) return undefined;
    const before = this.output.length;
    const data = this.dataHead(request, offset, length, true, length);
    return { data, takeBack: () => this.output.unreserve(this.output.length - before) };
  }

  /** Zeros of a READ. */
  hole(request: Request, offset: number, bytes: number, isLast: boolean): void {
    assert(this.form !== 'simple', 'simple replies have data only');
    const view = viewOf(this.chunk(request, Chunk.offsetHole, offsetBytes + 4, isLast));
    setU64(view, 0, offset);
    view.setUint32(8, bytes);
  }

  /** What is known in one context, from the start of the request on. */
  status(request: Request, context: number, extents: readonly StatusExtent[], isLast: boolean): void {
    const isExtended = this.form === 'extended';
    const [headBytes, extentBytes] = isExtended ? [8, 16] : [4, 8];
    const payload = new Uint8Array(headBytes + extents.length * extentBytes);
    const view = viewOf(payload);
    view.setUint32(0, context);
    if (isExtended) view.setUint32(4, extents.length);
    let at = headBytes;
    for (const { bytes, flags } of extents) {
      if (isExtended) {
        setU64(view, at, bytes);
        setU64(view, at + 8, flags);
      } else {
        view.setUint32(at, bytes);
        view.setUint32(at + 4, flags);
      }
      at += extentBytes;
    }
    const type = isExtended ? Chunk.blockStatusExtended : Chunk.blockStatus;
    this.chunk(request, type, payload.length, isLast, 0);
    this.output.add(payload);
  }

  /** Returned: room for the first `roomBytes` of the data. */
  private dataHead(
    request: Request,
    offset: number,
    bytes: number,
    isLast: boolean,
    roomBytes: number,
  ): Uint8Array {
    if (this.form === 'simple') return this.simple(request, 0, roomBytes, bytes);
    const room = this.chunk(request, Chunk.offsetData, offsetBytes + bytes, isLast, offsetBytes + roomBytes);
    setU64(viewOf(room), 0, offset);
    return room.subarray(offsetBytes);
  }

  /** Returned: room for what follows. */
  private simple(request: Request, error: number, roomBytes = 0, bytes = roomBytes): Uint8Array {
    if (nbdReply.enabled) this.tellOf(request, 'simple', error, bytes);
    const { cookieHigh, cookieLow } = request;
    const reserved = this.output.reserve(simpleHeadBytes + roomBytes);
    const view = viewOf(reserved);
    view.setUint32(0, simpleReplyMagic);
    view.setUint32(4, error);
    view.setUint32(8, cookieHigh);
    view.setUint32(12, cookieLow);
    return reserved.subarray(simpleHeadBytes);
  }

  /** Returned: room for the first `roomBytes` of the payload. */
  private chunk(
    request: Request,
    type: number,
    bytes: number,
    isLast: boolean,
    roomBytes: number = bytes,
    error = 0,
  ): Uint8Array {
    if (nbdReply.enabled) this.tellOf(request, `${type}`, error, bytes);
    const isExtended = this.form === 'extended';
    const headBytes = isExtended ? extendedHeadBytes : structuredHeadBytes;
    const reserved = this.output.reserve(headBytes + roomBytes);
    const view = viewOf(reserved);
    view.setUint32(0, isExtended ? extendedReplyMagic : structuredReplyMagic);
    view.setUint16(4, isLast ? chunkDone : 0);
    view.setUint16(6, type);
    view.setUint32(8, request.cookieHigh);
    view.setUint32(12, request.cookieLow);
    if (isExtended) {
      view.setUint32(16, request.offsetHigh);
      view.setUint32(20, request.offsetLow);
      setU64(view, 24, bytes);
    } else {
      view.setUint32(16, bytes);
    }
    return reserved.subarray(headBytes);
  }

  private tellOf(request: Request, kind: string, error: number, bytes: number): void {
    nbdReply.emit({ client: this.client, cookie: cookieOf(request), kind, error, bytes });
  }
}
