/**
 * An NBD server that follows a script, right or wrong, over an image of 1 MiB: what a client makes of it, and what exactly a
 * client says. Without I/O; `listen` puts it on a socket for programs.
 */
import { createServer, type Server } from 'node:net';
import {
  Chunk,
  Command,
  chunkDone,
  extendedReplyMagic,
  Info,
  initMagic,
  Option,
  OptionReply,
  optionMagic,
  optionReplyMagic,
  simpleReplyMagic,
  structuredReplyMagic,
  TransmissionFlag,
} from '../../host/nbd/constants.ts';
import { MessageBuilder, MessageReader } from '../../host/nbd/fields.ts';
import { Input } from '../../host/nbd/input.ts';

export const scriptedBytes = 1 << 20;
const scriptedContextId = 1;

/** A request as it came. */
export interface ScriptedRequest {
  readonly flags: number;
  readonly command: number;
  readonly cookie: number;
  readonly offset: number;
  readonly length: number;
}

/** Bytes to say; or the end of the connection, after saying these. */
export type Answer = Uint8Array | { readonly last: Uint8Array };

export interface Script {
  readonly style?: 'old' | 'newstyle';
  /** What requests and replies look like at most. */
  readonly form?: 'simple' | 'structured' | 'extended';
  readonly flags?: number;
  /** Bytes of the export. */
  readonly size?: number;
  /** In place of the greeting. */
  readonly greeting?: Answer;
  /** In place of the answer to an option. */
  readonly options?: Readonly<Record<number, Answer | ((data: Uint8Array) => Answer)>>;
  /** In place of the reply to a command. */
  readonly commands?: Readonly<Record<number, (request: ScriptedRequest) => Answer>>;
}

const everyFlag =
  TransmissionFlag.hasFlags |
  TransmissionFlag.sendFlush |
  TransmissionFlag.sendFua |
  TransmissionFlag.sendTrim |
  TransmissionFlag.sendWriteZeroes |
  TransmissionFlag.sendDf |
  TransmissionFlag.sendCache |
  TransmissionFlag.sendFastZero;

export function optionReply(option: number, type: number, ...data: readonly Uint8Array[]): Uint8Array {
  const all = Buffer.concat(data);
  const head = new MessageBuilder().words(optionReplyMagic).u32(option).u32(type).u32(all.length);
  return head.bytes(all).done();
}

export function simpleReply(cookie: number, error = 0, data: Uint8Array = new Uint8Array(0)): Uint8Array {
  const head = new MessageBuilder().u32(simpleReplyMagic).u32(error).u64(cookie).done();
  return Buffer.concat([head, data]);
}

/** A chunk of a structured reply. */
export function structuredChunk(
  cookie: number,
  [type, flags]: readonly [type: number, flags: number],
  payload: Uint8Array,
): Uint8Array {
  const head = new MessageBuilder().u32(structuredReplyMagic).u16(flags).u16(type).u64(cookie);
  return Buffer.concat([head.u32(payload.length).done(), payload]);
}

/** A chunk of an extended reply. */
export function extendedChunk(
  { cookie, offset }: Pick<ScriptedRequest, 'cookie' | 'offset'>,
  [type, flags]: readonly [type: number, flags: number],
  payload: Uint8Array,
): Uint8Array {
  const head = new MessageBuilder().u32(extendedReplyMagic).u16(flags).u16(type).u64(cookie).u64(offset);
  return Buffer.concat([head.u64(payload.length).done(), payload]);
}

/** What INFO and GO are answered with, before ACK. */
export function exportInfo(option: number, size: number, flags: number): Uint8Array {
  return optionReply(
    option,
    OptionReply.info,
    new MessageBuilder().u16(Info.export).u64(size).u16(flags).done(),
  );
}

export function blockSizeInfo(
  option: number,
  minimum: number,
  preferred: number,
  maximum: number,
): Uint8Array {
  const sizes = new MessageBuilder().u16(Info.blockSize).u32(minimum).u32(preferred).u32(maximum);
  return optionReply(option, OptionReply.info, sizes.done());
}

export class ScriptedServer {
  /** Messages of the client, one after the other, in hexadecimal digits. */
  readonly heard: string[] = [];
  private readonly input = new Input();
  private readonly said: Uint8Array[] = [];
  private state: 'flags' | 'option' | 'request' | 'ended' = 'flags';
  private form: 'simple' | 'structured' | 'extended' = 'simple';
  private sendsZeroes = true;
  private hasContext = false;
  readonly image = new Uint8Array(scriptedBytes);

  constructor(private readonly script: Script) {
    this.image.fill(7, 0, 65_536);
    this.say(script.greeting ?? this.greeting());
    if (script.style === 'old') this.state = 'request';
  }

  get hasEnded(): boolean {
    return this.state === 'ended';
  }

  receive(bytes: Uint8Array): void {
    this.input.append(bytes);
    while (this.step());
  }

  /** What is to be said now. */
  take(): Uint8Array {
    return Buffer.concat(this.said.splice(0));
  }

  private get size(): number {
    return this.script.size ?? scriptedBytes;
  }

  private get flags(): number {
    return this.script.flags ?? everyFlag;
  }

  private greeting(): Uint8Array {
    const { style } = this.script;
    if (style !== 'old') {
      const flags = style === 'newstyle' ? 0 : 3;
      return new MessageBuilder().words(initMagic).words(optionMagic).u16(flags).done();
    }
    const head = new MessageBuilder().words(initMagic).words([0x00004202, 0x81861253]);
    return head.u64(this.size).u32(this.flags).zeros(124).done();
  }

  private say(answer: Answer): void {
    if (answer instanceof Uint8Array) this.said.push(answer);
    else {
      this.said.push(answer.last);
      this.state = 'ended';
    }
  }

  /** Returned: whether there may be more to do. */
  private step(): boolean {
    if (this.state === 'flags') return this.readFlags();
    if (this.state === 'option') return this.readOption();
    return this.state === 'request' && this.readRequest();
  }

  private readFlags(): boolean {
    const message = this.input.take(4);
    if (!message) return false;
    this.hear(message);
    this.sendsZeroes = (message[3]! & 2) === 0; // it has four bytes
    this.state = 'option';
    return true;
  }

  private readOption(): boolean {
    const head = this.input.peek(16);
    if (!head) return false;
    const reader = new MessageReader(head);
    reader.words();
    const option = reader.u32()!; // the head has it
    const bytes = reader.u32()!; // the same
    const message = this.input.take(16 + bytes);
    if (!message) return false;
    this.hear(message);
    const data = message.subarray(16);
    const scripted = this.script.options?.[option];
    if (scripted && option === Option.go && typeof scripted === 'function') this.state = 'request';
    if (scripted) this.say(typeof scripted === 'function' ? scripted(data) : scripted);
    else this.say(this.answer(option));
    return !this.hasEnded;
  }

  private answer(option: number): Answer {
    const { form = 'extended' } = this.script;
    const ack = optionReply(option, OptionReply.ack);
    const unsupported = optionReply(option, OptionReply.unsupported);
    switch (option) {
      case Option.exportName: {
        this.state = 'request';
        const answer = new MessageBuilder().u64(this.size).u16(this.flags);
        return answer.zeros(this.sendsZeroes ? 124 : 0).done();
      }
      case Option.abort:
        return { last: ack };
      case Option.list:
        return Buffer.concat([
          optionReply(option, OptionReply.server, new MessageBuilder().string('exp').done()),
          ack,
        ]);
      case Option.structuredReply:
        if (form === 'simple') return unsupported;
        this.form = 'structured';
        return ack;
      case Option.extendedHeaders:
        if (form !== 'extended') return unsupported;
        this.form = 'extended';
        return ack;
      case Option.setMetaContext:
      case Option.listMetaContext: {
        if (this.form === 'simple') return unsupported;
        this.hasContext = true;
        const context = new MessageBuilder().u32(scriptedContextId).text('base:allocation').done();
        return Buffer.concat([optionReply(option, OptionReply.metaContext, context), ack]);
      }
      case Option.info:
      case Option.go:
        if (option === Option.go) this.state = 'request';
        return Buffer.concat([exportInfo(option, this.size, this.flags), ack]);
      default:
        return unsupported;
    }
  }

  private readRequest(): boolean {
    const headBytes = this.form === 'extended' ? 32 : 28;
    const head = this.input.peek(headBytes);
    if (!head) return false;
    const reader = new MessageReader(head);
    reader.u32();
    // The head has all of them.
    const [flags, command, cookie, offset] = [reader.u16()!, reader.u16()!, reader.u64()!, reader.u64()!];
    const length = this.form === 'extended' ? reader.u64()! : reader.u32()!; // the same
    const carried = command === Command.write ? length : 0;
    const message = this.input.take(headBytes + carried);
    if (!message) return false;
    this.hear(message.length > 64 ? message.subarray(0, 64) : message);
    const request = { flags, command, cookie, offset, length };
    if (command === Command.disconnect) this.state = 'ended';
    else {
      const scripted = this.script.commands?.[command];
      this.say(scripted ? scripted(request) : this.perform(request, message.subarray(headBytes)));
    }
    return !this.hasEnded;
  }

  private perform(request: ScriptedRequest, data: Uint8Array): Uint8Array {
    const { command, offset, length, cookie } = request;
    if (command === Command.read) {
      const bytes = this.image.slice(offset, offset + length);
      if (this.form === 'simple') return simpleReply(cookie, 0, bytes);
      const at = new MessageBuilder().u64(offset).done();
      return this.chunk(request, [Chunk.offsetData, chunkDone], Buffer.concat([at, bytes]));
    }
    if (command === Command.write) this.image.set(data, offset);
    if (command === Command.writeZeroes) this.image.fill(0, offset, offset + length);
    if (command !== Command.blockStatus) {
      if (this.form !== 'extended') return simpleReply(cookie);
      return this.chunk(request, [Chunk.none, chunkDone], new Uint8Array(0));
    }
    if (!this.hasContext) return simpleReply(cookie, 22);
    if (this.form === 'extended') {
      const status = new MessageBuilder().u32(scriptedContextId).u32(1).u64(length).u64(0).done();
      return this.chunk(request, [Chunk.blockStatusExtended, chunkDone], status);
    }
    const status = new MessageBuilder().u32(scriptedContextId).u32(length).u32(0).done();
    return this.chunk(request, [Chunk.blockStatus, chunkDone], status);
  }

  /** In the form that was agreed on. */
  chunk(request: ScriptedRequest, kind: readonly [number, number], payload: Uint8Array): Uint8Array {
    return this.form === 'extended'
      ? extendedChunk(request, kind, payload)
      : structuredChunk(request.cookie, kind, payload);
  }

  private hear(message: Uint8Array): void {
    this.heard.push(Buffer.from(message).toString('hex'));
  }
}

/** A server for each client that comes to the socket at `path`. `servers` collects them. */
export async function listen(path: string, script: Script, servers: ScriptedServer[] = []): Promise<Server> {
  const listener = createServer((socket) => {
    const server = new ScriptedServer(script);
    servers.push(server);
    const send = (): void => {
      socket.write(server.take());
      if (server.hasEnded) socket.end();
    };
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      server.receive(bytes);
      send();
    });
    send();
  });
  await new Promise<void>((resolve) => void listener.listen(path, resolve));
  return listener;
}
