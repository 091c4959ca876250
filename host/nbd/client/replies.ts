/**
 * Replies as a client reads them off the wire, of whichever form (specification: nbd, sections 3, 5 and 7). What a READ gets
 * goes to where it belongs as it arrives.
 *
 * | state     | expects                                              | goes on to                                        |
 * |-----------|------------------------------------------------------|---------------------------------------------------|
 * | `head`    | the head of a reply or chunk                         | `data` (simple), `payload`, `offset`; `head`      |
 * | `payload` | the payload of a chunk that is no data               | `head`                                            |
 * | `offset`  | where the data of a chunk begins                     | `data`                                            |
 * | `data`    | the data of a reply or chunk                         | `head`                                            |
 *
 * A reply that cannot be is an error of the connection: nobody knows what else is wrong. Where QEMU is more
 * patient than the protocol, so is this: unknown chunk flags, more than one extent where one was asked for, an offset in an
 * extended head that is another's. It is less patient with data that is missing: QEMU takes it for read.
 */
import { assert } from '../../base/assert.ts';
import { BlockError } from '../../base/errors.ts';
import { viewOf } from '../../base/view-of.ts';
import {
  Chunk,
  Command,
  chunkDone,
  commandName,
  extendedReplyMagic,
  fromWireError,
  maxClientRequests,
  maxPayloadBytes,
  type ReplyForm,
  simpleReplyMagic,
  structuredReplyMagic,
} from '../constants.ts';
import { MessageReader } from '../fields.ts';
import type { Input } from '../input.ts';
import type { UsedExport } from './remote-export.ts';
import type { ClientRequest } from './request.ts';

const magicBytes = 4;
const headBytes: Readonly<Record<ReplyForm, number>> = { simple: 16, structured: 20, extended: 32 };
const offsetBytes = 8;
/** Of a chunk that is an error, or block status: more has no use. */
const maxOtherPayloadBytes = 1 << 20;
const firstErrorChunk = 0x8000;

/** What a server must not say. */
export class Violation extends BlockError {
  constructor(
    message: string,
    /** The request in whose reply it is, if there is one. */
    readonly request?: ClientRequest | undefined,
  ) {
    super('EINVAL', message);
  }
}

/** Requests that are on their way, by their number on the wire. */
export class RequestSlots {
  private readonly slots: (ClientRequest | undefined)[] = new Array(maxClientRequests).fill(undefined);
  count = 0;

  get hasRoom(): boolean {
    return this.count < maxClientRequests;
  }

  /** Returned: its cookie, which is never 0. There must be room. */
  add(request: ClientRequest): number {
    const slot = this.slots.indexOf(undefined);
    assert(slot >= 0, 'there is room for the request');
    this.slots[slot] = request;
    this.count++;
    return slot + 1;
  }

  find(cookie: number): ClientRequest | undefined {
    return this.slots[cookie - 1];
  }

  remove(cookie: number): void {
    this.slots[cookie - 1] = undefined;
    this.count--;
  }

  /** All of them. They are not here any more. */
  takeAll(): ClientRequest[] {
    const all = this.slots.filter((request) => request !== undefined);
    this.slots.fill(undefined);
    this.count = 0;
    return all;
  }
}

export class ReplyReader {
  private state: 'head' | 'payload' | 'offset' | 'data' = 'head';
  /** Whose reply is being read. */
  private request: ClientRequest | undefined;
  private cookie = 0;
  private chunk = 0;
  private isLast = false;
  /** Of the chunk, behind its head. */
  private payloadBytes = 0;
  /** Where its data goes, in the request's buffer. */
  private place: Uint8Array = new Uint8Array(0);

  constructor(
    private readonly input: Input,
    private readonly slots: RequestSlots,
    private readonly target: UsedExport,
  ) {}

  /** The next request whose reply is complete. Errors: Violation. */
  next(): ClientRequest | undefined {
    for (;;) {
      const done = this.step();
      if (done === 'waits') return undefined;
      if (done) return done;
    }
  }

  private step(): ClientRequest | 'waits' | undefined {
    switch (this.state) {
      case 'head':
        return this.readHead();
      case 'payload': {
        const payload = this.input.read(this.payloadBytes);
        return payload ? this.takePayload(payload) : 'waits';
      }
      case 'offset': {
        const at = this.input.read(offsetBytes);
        if (!at) return 'waits';
        this.takeOffset(new MessageReader(at).u64()!); // it has as many bytes
        return undefined;
      }
      case 'data':
        return this.fill();
    }
  }

  private readHead(): ClientRequest | 'waits' | undefined {
    const { input } = this;
    const magic = input.peek(magicBytes);
    if (!magic) return 'waits';
    const form = formOf(viewOf(magic).getUint32(0));
    const head = input.read(headBytes[form]);
    if (!head) return 'waits';
    const view = viewOf(head);
    const request = this.find(view.getUint32(8), view.getUint32(12));
    this.request = request;
    if (form === 'simple') return this.takeSimple(request, view.getUint32(4));
    if (this.target.replies === 'simple')
      throw new Violation('structured reply chunk without structured replies being negotiated', request);
    const isExtended = form === 'extended';
    this.isLast = (view.getUint16(4) & chunkDone) !== 0;
    this.chunk = view.getUint16(6);
    if (isExtended && view.getUint32(24) !== 0) throw tooLong(view.getUint32(24) * 2 ** 32);
    this.payloadBytes = view.getUint32(isExtended ? 28 : 16);
    return this.beginChunk(request);
  }

  private find(cookieHigh: number, cookieLow: number): ClientRequest {
    const request = cookieHigh === 0 ? this.slots.find(cookieLow) : undefined;
    if (!request) throw new Violation(`reply to a request that there is not (${cookieHigh}, ${cookieLow})`);
    this.cookie = cookieLow;
    return request;
  }

  private takeSimple(request: ClientRequest, error: number): ClientRequest | undefined {
    const { replies } = this.target;
    const isRead = request.command === Command.read;
    if (replies === 'extended' || (replies === 'structured' && isRead))
      throw new Violation('simple reply when structured reply chunk was expected', request);
    if (error !== 0) request.error ??= new BlockError(fromWireError(error));
    if (error !== 0 || !isRead || request.length === 0) return this.finish(request);
    this.isLast = true;
    this.expectData(request, request.offset, request.length);
    return undefined;
  }

  private beginChunk(request: ClientRequest): ClientRequest | undefined {
    const { chunk, payloadBytes } = this;
    if (chunk === Chunk.none) {
      if (!this.isLast)
        throw new Violation('NBD_REPLY_TYPE_NONE chunk without NBD_REPLY_FLAG_DONE flag set', request);
      if (payloadBytes !== 0) throw new Violation('NBD_REPLY_TYPE_NONE chunk with nonzero length', request);
      return this.endChunk(request);
    }
    if (chunk === Chunk.offsetData) {
      if (request.command !== Command.read) throw this.misplaced(request);
      if (payloadBytes > maxPayloadBytes + offsetBytes) throw tooLong(payloadBytes);
      if (payloadBytes <= offsetBytes)
        throw new Violation('invalid payload for NBD_REPLY_TYPE_OFFSET_DATA', request);
      this.state = 'offset';
      return undefined;
    }
    if (payloadBytes > maxOtherPayloadBytes) throw tooLong(payloadBytes);
    this.state = 'payload';
    return undefined;
  }

  private takeOffset(offset: number): void {
    const request = this.request!; // there is a chunk for it
    const bytes = this.payloadBytes - offsetBytes;
    this.expectWithin(request, offset, bytes, 'data');
    this.expectData(request, offset, bytes);
  }

  private expectData(request: ClientRequest, offset: number, bytes: number): void {
    const at = offset - request.offset;
    this.place = request.data!.subarray(at, at + bytes); // as every READ
    this.state = 'data';
  }

  private fill(): ClientRequest | 'waits' | undefined {
    const request = this.request!; // there is a chunk for it
    if (!this.input.fill(this.place)) return 'waits';
    request.told += this.place.length;
    return this.endChunk(request);
  }

  private takePayload(payload: Uint8Array): ClientRequest | undefined {
    const request = this.request!; // there is a chunk for it
    const { chunk } = this;
    if (chunk >= firstErrorChunk) takeError(request, payload);
    else if (chunk === Chunk.offsetHole && request.command === Command.read) this.takeHole(request, payload);
    else if (isStatus(chunk) && request.command === Command.blockStatus) this.takeStatus(request, payload);
    else throw this.misplaced(request);
    return this.endChunk(request);
  }

  private takeHole(request: ClientRequest, payload: Uint8Array): void {
    const reader = new MessageReader(payload);
    const [offset, bytes] = [reader.u64(), reader.u32()];
    if (offset === undefined || !bytes || reader.rest > 0)
      throw new Violation('invalid payload for NBD_REPLY_TYPE_OFFSET_HOLE', request);
    this.expectWithin(request, offset, bytes, 'hole');
    const at = offset - request.offset;
    request.data!.fill(0, at, at + bytes); // as every READ
    request.told += bytes;
  }

  private takeStatus(request: ClientRequest, payload: Uint8Array): void {
    const { context } = this.target;
    const isWide = this.chunk === Chunk.blockStatusExtended;
    const reader = new MessageReader(payload);
    const id = reader.u32();
    if (isWide) reader.u32();
    const bytes = isWide ? reader.u64() : reader.u32();
    const flags = isWide ? reader.words()?.[1] : reader.u32();
    if (id === undefined || bytes === undefined || flags === undefined)
      throw new Violation('invalid payload for NBD_REPLY_TYPE_BLOCK_STATUS', request);
    if (id !== context)
      throw new Violation(`unexpected context id ${id} for NBD_REPLY_TYPE_BLOCK_STATUS`, request);
    if (bytes === 0) throw new Violation('extent length is zero', request);
    if (request.status) throw new Violation('several BLOCK_STATUS chunks in reply', request);
    request.status = { bytes, flags };
  }

  private endChunk(request: ClientRequest): ClientRequest | undefined {
    this.state = 'head';
    return this.isLast ? this.finish(request) : undefined;
  }

  private finish(request: ClientRequest): ClientRequest {
    this.state = 'head';
    const { command, told, length, error } = request;
    if (command === Command.read && !error && told !== length)
      throw new Violation(`server sent ${told} of ${length} bytes that were read`, request);
    this.slots.remove(this.cookie);
    if (command === Command.blockStatus && !error && !request.status) request.error = new BlockError('EIO');
    return request;
  }

  private expectWithin(request: ClientRequest, offset: number, bytes: number, what: string): void {
    const { offset: start, length } = request;
    if (offset < start || offset + bytes > start + length || request.told + bytes > length) {
      throw new Violation(`server sent ${what} exceeding request (${bytes} bytes at ${offset})`, request);
    }
  }

  private misplaced(request: ClientRequest): Violation {
    const { chunk } = this;
    const name = commandName(request.command);
    return new Violation(`unexpected reply type ${chunk} for command ${name}`, request);
  }
}

function formOf(magic: number): ReplyForm {
  if (magic === simpleReplyMagic) return 'simple';
  if (magic === structuredReplyMagic) return 'structured';
  if (magic === extendedReplyMagic) return 'extended';
  throw new Violation(`invalid magic 0x${magic.toString(16)} of a reply`);
}

function isStatus(chunk: number): boolean {
  return chunk === Chunk.blockStatus || chunk === Chunk.blockStatusExtended;
}

function takeError(request: ClientRequest, payload: Uint8Array): void {
  const reader = new MessageReader(payload);
  const [error, bytes] = [reader.u32(), reader.u16()];
  const text = bytes === undefined ? undefined : reader.bytes(bytes);
  if (!error || !text) throw new Violation('invalid payload for structured error', request);
  request.error ??= new BlockError(fromWireError(error));
}

/** Nothing of it can be read, so the next reply is not found either. */
function tooLong(bytes: number): Violation {
  return new Violation(`Payload with size ${bytes} is too large`);
}
