/**
 * The client's side of one connection, without I/O: bytes in (`receive`), events out (`next`), bytes to be sent (`output`).
 *
 * After the negotiation (handshake.ts) requests go out as they are given, at most 16 at a time, and come back as their replies
 * are complete, in any order. Whatever a server says that it must not say ends the connection. Requests that are on their way
 * then are for whoever made them to send again, or not.
 *
 * Not here: connecting, time limits, and what to do about a connection that has ended (protocols/nbd/).
 */
import { BlockError } from '../../base/errors.ts';
import { viewOf } from '../../base/view-of.ts';
import { Command, CommandFlag, extendedRequestMagic, requestMagic } from '../constants.ts';
import { setU64 } from '../fields.ts';
import { Input } from '../input.ts';
import { Output } from '../output.ts';
import { ClientHandshake, type HandshakeOutcome, type Purpose } from './handshake.ts';
import type { UsedExport } from './remote-export.ts';
import { ReplyReader, RequestSlots, Violation } from './replies.ts';
import { ClientRequest } from './request.ts';

export type ClientEvent =
  /** An outcome of the negotiation. Behind `tls`, `tlsBegun` is to be called before anything is received. */
  | Exclude<HandshakeOutcome, { readonly type: 'ended' }>
  /** Its reply is complete. */
  | ClientRequest
  /** The connection is over when everything is sent. `request`: it is its reply that cannot be. */
  | { readonly type: 'ended'; readonly error: BlockError; readonly request?: ClientRequest | undefined };

const compactBytes = 28;
const extendedBytes = 32;

export class ClientProtocol {
  readonly output = new Output();
  /** Also for connections that put bytes where they are wanted: what `room` leads to is as if it were received. */
  readonly input = new Input();
  private readonly handshake: ClientHandshake;
  private readonly slots = new RequestSlots();
  private replies: ReplyReader | undefined;
  private isExtended = false;
  private hasEnded = false;
  /** The server has no more to say. */
  private isCutOff = false;

  constructor(purpose: Purpose) {
    this.handshake = new ClientHandshake(purpose, this.input, this.output);
  }

  /** The bytes may not change any more. */
  receive(bytes: Uint8Array): void {
    if (!this.hasEnded) this.input.append(bytes);
  }

  /** Nothing more will be received: what that means is the last event. */
  cutOff(): void {
    this.isCutOff = true;
  }

  tlsBegun(): void {
    this.handshake.tlsBegun();
  }

  /** What follows from the bytes so far. */
  next(): ClientEvent | undefined {
    if (this.hasEnded) return undefined;
    const event = this.advance() ?? (this.isCutOff ? this.breakOff() : undefined);
    if (event && !(event instanceof ClientRequest) && (event.type === 'ended' || event.type === 'listed')) {
      this.hasEnded = true;
      this.input.clear();
    }
    return event;
  }

  /** Whether another request may be sent. */
  get hasRoom(): boolean {
    return !this.hasEnded && this.slots.hasRoom;
  }

  /** How many requests are on their way. */
  get inFlight(): number {
    return this.slots.count;
  }

  /** Once an export has been chosen, and there is room. */
  send(request: ClientRequest): void {
    const cookie = this.slots.add(request);
    this.sendHead(request, cookie);
    if (request.command === Command.write) this.output.add(request.data!); // as every WRITE
  }

  /** A server hears that the client goes because it wants to. Harmless when the connection has ended. */
  disconnect(): void {
    if (!this.replies || this.hasEnded) return;
    this.hasEnded = true;
    this.sendDisconnect();
  }

  /** Requests that nothing will come of. They are forgotten here. */
  takeUnfinished(): ClientRequest[] {
    return this.slots.takeAll();
  }

  private advance(): ClientEvent | undefined {
    if (!this.replies) return this.negotiate();
    try {
      return this.replies.next();
    } catch (error) {
      if (!(error instanceof Violation)) throw error;
      return { type: 'ended', error: error.within('Protocol error'), request: error.request };
    }
  }

  private negotiate(): ClientEvent | undefined {
    const outcome = this.handshake.proceed();
    if (outcome?.type === 'chosen') this.use(outcome.target);
    if (outcome?.type === 'listed' && outcome.isServing) this.sendDisconnect();
    return outcome;
  }

  private use(target: UsedExport): void {
    this.isExtended = target.replies === 'extended';
    this.replies = new ReplyReader(this.input, this.slots, target);
  }

  private sendDisconnect(): void {
    this.sendHead(new ClientRequest(Command.disconnect, 0, 0, 0, undefined, () => {}), 0);
  }

  private breakOff(): ClientEvent {
    if (!this.replies) return this.handshake.cutOff();
    return { type: 'ended', error: new BlockError('EIO', 'Server closed the connection') };
  }

  private sendHead(request: ClientRequest, cookie: number): void {
    const { isExtended } = this;
    const { command, flags, offset, length } = request;
    const view = viewOf(this.output.reserve(isExtended ? extendedBytes : compactBytes));
    // The protocol wants a payload announced where heads are extended; QEMU does not do it.
    const carries = isExtended && command === Command.write;
    view.setUint32(0, isExtended ? extendedRequestMagic : requestMagic);
    view.setUint16(4, carries ? flags | CommandFlag.payloadLength : flags);
    view.setUint16(6, command);
    view.setUint32(8, 0);
    view.setUint32(12, cookie);
    setU64(view, 16, offset);
    if (isExtended) setU64(view, 24, length);
    else view.setUint32(24, length);
  }
}
