/**
 * The server's side of one connection, without I/O: bytes in (`receive`), events out (`next`), bytes to be sent (`output`).
 *
 * After the negotiation (handshake.ts) it hands over requests, each of them sound: of a known command with flags that it
 * may have, inside the export, no longer than the protocol's limits. What is not sound it answers itself, in QEMU's words,
 * and what cannot be told from the next request ends the connection. Replies may come in any order.
 *
 * Not here: time limits, how many requests may be on their way, and what a request does (exports/).
 */

import { nbdRequest } from '../../trace/events.ts';
import {
  Command,
  CommandFlag,
  commandName,
  maxPayloadBytes,
  TransmissionFlag,
  toWireError,
} from '../constants.ts';
import { MessageReader } from '../fields.ts';
import { Input } from '../input.ts';
import { Output } from '../output.ts';
import { type Agreement, Handshake } from './handshake.ts';
import type { Offer, OfferedExport } from './offer.ts';
import { Replies } from './replies.ts';
import {
  cookieOf,
  exactLength,
  exactOffset,
  type PayloadMemory,
  Request,
  RequestReader,
  tooLong,
} from './request.ts';

export type ServerEvent<Export extends OfferedExport> =
  /** The client begins TLS when it has what is to be sent now; `tlsBegun` is to be called before anything is received. */
  | { readonly type: 'tls' }
  /** Requests follow, and `replies` is there. */
  | { readonly type: 'chosen'; readonly agreement: Agreement<Export> }
  | Request
  /** The connection ends when everything is sent. `reason` absent: as the client wanted it. */
  | { readonly type: 'ended'; readonly reason?: string };

interface Transmission<Export extends OfferedExport> {
  readonly agreement: Agreement<Export>;
  readonly requests: RequestReader;
  readonly replies: Replies;
}

const invalidNumber = toWireError('EINVAL');

export class ServerProtocol<Export extends OfferedExport> {
  readonly output = new Output();
  /** Also for connections that put bytes where they are wanted: what `room` leads to is as if it were received. */
  readonly input = new Input();
  private readonly handshake: Handshake<Export>;
  private transmission: Transmission<Export> | undefined;
  private hasEnded = false;

  constructor(
    offer: Offer<Export>,
    private readonly memory: PayloadMemory,
    /** As it is called where events are watched. */
    private readonly client = 0,
  ) {
    this.handshake = new Handshake(offer, this.input, this.output, client);
  }

  /** The bytes may not change any more. */
  receive(bytes: Uint8Array): void {
    if (!this.hasEnded) this.input.append(bytes);
  }

  /** Bytes that have arrived and led to nothing yet. */
  get pendingBytes(): number {
    return this.input.length;
  }

  tlsBegun(): void {
    this.handshake.tlsBegun();
  }

  /** Once an export has been chosen. */
  get replies(): Replies {
    return this.transmission!.replies;
  }

  /** What the client has left unsaid that says nothing more; undefined when it might leave. */
  get missing(): string | undefined {
    if (this.hasEnded) return undefined;
    return this.transmission ? this.transmission.requests.missing : this.handshake.missing;
  }

  /** What follows from the bytes so far. */
  next(): ServerEvent<Export> | undefined {
    if (this.hasEnded) return undefined;
    const event = this.transmission ? this.nextRequest(this.transmission) : this.negotiate();
    if (event && !(event instanceof Request) && event.type === 'ended') {
      this.hasEnded = true;
      this.input.clear();
    }
    return event;
  }

  private negotiate(): ServerEvent<Export> | undefined {
    const outcome = this.handshake.proceed();
    if (outcome?.type !== 'chosen') return outcome;
    const { agreement } = outcome;
    const { replies } = agreement;
    this.transmission = {
      agreement,
      requests: new RequestReader(this.input, replies === 'extended', this.memory),
      replies: new Replies(this.output, replies, this.client),
    };
    return outcome;
  }

  private tellOf(request: Request): void {
    const { command, flags, offset, length: bytes } = request;
    const { client } = this;
    const told = { client, cookie: cookieOf(request), command: commandName(command) };
    nbdRequest.emit({ ...told, flags, offset, bytes });
  }

  private nextRequest(transmission: Transmission<Export>): ServerEvent<Export> | undefined {
    const { requests, replies, agreement } = transmission;
    for (;;) {
      const request = requests.next();
      if (!request) return undefined;
      if (nbdRequest.enabled) this.tellOf(request instanceof Request ? request : request.request);
      if (!(request instanceof Request)) {
        replies.fail(request.request, invalidNumber, request.message);
        return { type: 'ended', reason: 'Request handling failed in intermediate state' };
      }
      if (request.command === Command.disconnect) return { type: 'ended' };
      const problem = readStatusQuery(request, agreement) ?? findProblem(request, agreement);
      if (problem === undefined) return request;
      replies.fail(request, invalidNumber, problem);
    }
  }
}

/** Which flags a command may have. */
function allowedFlags(command: number, { replies, contexts }: Agreement<OfferedExport>): number {
  switch (command) {
    case Command.read:
      return CommandFlag.fua | (replies === 'simple' ? 0 : CommandFlag.df);
    case Command.write:
      return CommandFlag.fua | (replies === 'extended' ? CommandFlag.payloadLength : 0);
    case Command.writeZeroes:
      return CommandFlag.fua | CommandFlag.noHole | CommandFlag.fastZero;
    case Command.blockStatus: {
      const payload = replies === 'extended' && contexts.length > 0 ? CommandFlag.payloadLength : 0;
      return CommandFlag.fua | CommandFlag.reqOne | payload;
    }
    default:
      return CommandFlag.fua;
  }
}

const changing: readonly number[] = [Command.write, Command.writeZeroes, Command.trim];
const carrying: readonly number[] = [Command.read, Command.write, Command.cache];

/** What a BLOCK_STATUS is about, which may be in its payload. Returned: why that cannot be said. */
function readStatusQuery(request: Request, { contexts }: Agreement<OfferedExport>): string | undefined {
  if (request.command !== Command.blockStatus) return undefined;
  const { payload } = request;
  if (!payload || contexts.length === 0) {
    request.status = { bytes: request.length, contexts };
    return undefined;
  }
  const reader = new MessageReader(payload);
  const bytes = reader.u64();
  const wanted: (number | undefined)[] = [];
  while (reader.rest > 0) wanted.push(reader.u32());
  const asked = contexts.filter(({ id }) => wanted.includes(id));
  if (bytes === undefined || asked.length === 0 || asked.length !== wanted.length)
    return 'CMD_BLOCK_STATUS payload not valid';
  request.status = { bytes, contexts: asked };
  return undefined;
}

/** Why a request cannot be done, whatever the disk is. */
function findProblem(request: Request, agreement: Agreement<OfferedExport>): string | undefined {
  const { command, flags } = request;
  const { size, flags: exportFlags } = agreement.export;
  if (carrying.includes(command) && request.length > maxPayloadBytes) return tooLong(request);
  const isReadOnly = (exportFlags & TransmissionFlag.readOnly) !== 0;
  if (isReadOnly && changing.includes(command)) return 'Export is read-only';
  const bytes = request.status?.bytes ?? request.length;
  if (request.offset > size || bytes > size - request.offset) {
    const length = request.status?.bytes ?? exactLength(request);
    return `operation past EOF; From: ${exactOffset(request)}, Len: ${length}, Size: ${size}`;
  }
  if ((flags & ~allowedFlags(command, agreement)) !== 0) {
    return `unsupported flags for command ${commandName(command)} (got 0x${flags.toString(16)})`;
  }
  if (command > Command.blockStatus) return `invalid request type (${command}) received`;
  if (command !== Command.blockStatus) return undefined;
  if (agreement.contexts.length === 0) return 'CMD_BLOCK_STATUS not negotiated';
  return bytes === 0 ? 'need non-zero length' : undefined;
}
