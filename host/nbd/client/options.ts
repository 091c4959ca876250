/**
 * Which options a client sends to a server that answers them, and what it makes of the answers: to use one export, or to
 * list all of them (specification: nbd, section 5).
 *
 * | to use      | then                                                            |
 * |-------------|-----------------------------------------------------------------|
 * | EXTENDED_HEADERS | SET_META_CONTEXT; STRUCTURED_REPLY where they are refused  |
 * | STRUCTURED_REPLY | SET_META_CONTEXT; GO where they are refused                |
 * | SET_META_CONTEXT | GO                                                         |
 * | GO               | the export; LIST where the server does not know it         |
 * | LIST             | EXPORT_NAME, if the name is there                          |
 *
 * | to list     | then                                                            |
 * |-------------|-----------------------------------------------------------------|
 * | EXTENDED_HEADERS | LIST; STRUCTURED_REPLY where they are refused              |
 * | STRUCTURED_REPLY | LIST                                                       |
 * | LIST             | INFO of the first one                                      |
 * | INFO             | INFO of the next one                                       |
 * | LIST_META_CONTEXT (all, then those of `qemu:`) | of the next one; in the end, ABORT |
 */
import { type BlockError, invalid } from '../../base/errors.ts';
import {
  Info,
  isErrorReply,
  maxOptionBytes,
  maxStringBytes,
  Option,
  OptionReply,
  optionName,
  type ReplyForm,
  replyName,
} from '../constants.ts';
import { MessageBuilder, MessageReader } from '../fields.ts';
import { refusalOf, unexpectedReply } from './refusals.ts';
import type { BlockSizes, ListedExport, RemoteExport, UsedExport } from './remote-export.ts';

/** What comes of all answers together. */
export type WholeOutcome =
  | { readonly type: 'chosen'; readonly target: UsedExport }
  | {
      readonly type: 'listed';
      readonly exports: readonly ListedExport[];
      readonly isExtended: boolean;
      /** The server is one that does not negotiate: it expects requests. */
      readonly isServing: boolean;
    };

/** What comes of an answer. */
type OptionsOutcome =
  | WholeOutcome
  /** The last option is EXPORT_NAME, whose answer has another form. */
  | { readonly type: 'by-name' };

/** One side of a dialog of options. */
export interface OptionDialog {
  /** Sends the first option. */
  begin(): void;
  /** A part of the answer to the last one. Errors: BlockError, also when the server refuses what cannot be done without. */
  answered(option: number, type: number, data: Uint8Array): OptionsOutcome | undefined;
  /** The export is the one that was asked for by its name, or the only one. */
  byName(size: number, flags: number): WholeOutcome;
}

type Send = (option: number, data: Uint8Array) => void;

const nothing = new Uint8Array(0);
/** Sizes beyond that are not exact. */
const maxSize = Number.MAX_SAFE_INTEGER;
/** Exports that a list may have: a server could go on for ever. */
const maxListed = 10_000;
/** Kinds of block status that an export may have. */
const maxContexts = 10_000;
/** Contexts that some servers tell only those who ask for them. */
const ownNamespace = 'qemu:';
const unlimitedBlock = 2 ** 32 - 1;

export class UseOptions implements OptionDialog {
  private replies: ReplyForm = 'simple';
  private context: number | undefined;
  private readonly told = new ToldExport();
  /** Of the answer to LIST. */
  private isListed = false;
  private hasListed = false;

  constructor(
    private readonly wanted: { readonly name: string; readonly context: string },
    private readonly send: Send,
  ) {}

  begin(): void {
    this.send(Option.extendedHeaders, nothing);
  }

  answered(option: number, type: number, data: Uint8Array): OptionsOutcome | undefined {
    switch (option) {
      case Option.extendedHeaders:
        if (isTaken(option, type, data)) this.setForm('extended');
        else this.send(Option.structuredReply, nothing);
        return undefined;
      case Option.structuredReply:
        if (isTaken(option, type, data)) this.setForm('structured');
        else this.go();
        return undefined;
      case Option.setMetaContext:
        this.takeContext(type, data);
        return undefined;
      case Option.go:
        return this.takeGo(type, data);
      default:
        return this.takeListed(type, data);
    }
  }

  byName(size: number, flags: number): WholeOutcome {
    return this.chosen({ name: this.wanted.name, description: '', size, flags });
  }

  private setForm(form: ReplyForm): void {
    this.replies = form;
    const { name, context } = this.wanted;
    const query = new MessageBuilder().string(name).u32(1).string(context);
    this.send(Option.setMetaContext, query.done());
  }

  private go(): void {
    this.send(Option.go, infoQuery(this.wanted.name));
  }

  private takeContext(type: number, data: Uint8Array): void {
    if (isErrorReply(type)) {
      // Without block status, all is data.
      this.context = undefined;
      this.go();
      return;
    }
    if (type === OptionReply.ack) {
      if (data.length > 0) throw invalid('Unexpected length to ACK response');
      this.go();
      return;
    }
    const { id, name } = readContext(type, data);
    const { context } = this.wanted;
    if (name !== context) {
      throw invalid(
        `Failed to negotiate meta context '${context}', server answered with different context '${shortened(name)}'`,
      );
    }
    if (this.context !== undefined) throw invalid('Server answered with more than one context');
    this.context = id;
  }

  private takeGo(type: number, data: Uint8Array): OptionsOutcome | undefined {
    if (type === OptionReply.unsupported) {
      this.send(Option.list, nothing);
      return undefined;
    }
    if (!this.told.take(Option.go, type, data)) return undefined;
    return this.chosen(this.told.whole(this.wanted.name));
  }

  private takeListed(type: number, data: Uint8Array): OptionsOutcome | undefined {
    const { name } = this.wanted;
    const entry = readListed(type, data);
    if (entry) {
      this.hasListed = true;
      this.isListed ||= entry.name === name;
      return undefined;
    }
    // A server that lists nothing may keep secret what it has.
    if (this.hasListed && !this.isListed) throw invalid(`No export with name '${name}' available`);
    return { type: 'by-name' };
  }

  private chosen(target: RemoteExport): WholeOutcome {
    const { replies, context } = this;
    return { type: 'chosen', target: { ...target, replies, context } };
  }
}

export class ListOptions implements OptionDialog {
  private isStructured = false;
  private isExtended = false;
  private readonly entries: { name: string; description: string }[] = [];
  private readonly infos: RemoteExport[] = [];
  private readonly contexts: string[][] = [];
  private told = new ToldExport();
  /** Of the entries: whose contexts are asked for. */
  private at = 0;
  private asksForOwn = false;

  constructor(private readonly send: Send) {}

  begin(): void {
    this.send(Option.extendedHeaders, nothing);
  }

  answered(option: number, type: number, data: Uint8Array): OptionsOutcome | undefined {
    switch (option) {
      case Option.extendedHeaders:
        this.isExtended = isTaken(option, type, data);
        this.isStructured = this.isExtended;
        this.send(this.isExtended ? Option.list : Option.structuredReply, nothing);
        return undefined;
      case Option.structuredReply:
        this.isStructured = isTaken(option, type, data);
        this.send(Option.list, nothing);
        return undefined;
      case Option.list:
        return this.takeListed(type, data);
      case Option.info:
        return this.takeInfo(type, data);
      default:
        return this.takeContext(type, data);
    }
  }

  byName(size: number, flags: number): WholeOutcome {
    const only = { name: '', description: '', size, flags, contexts: [] };
    return { type: 'listed', exports: [only], isExtended: false, isServing: true };
  }

  private takeListed(type: number, data: Uint8Array): OptionsOutcome | undefined {
    const entry = readListed(type, data);
    if (!entry) return this.askInfo();
    if (this.entries.length >= maxListed) throw invalid(`Server lists more than ${maxListed} exports`);
    this.entries.push(entry);
    return undefined;
  }

  private askInfo(): OptionsOutcome | undefined {
    const entry = this.entries[this.infos.length];
    if (!entry) return this.askContexts();
    this.told = new ToldExport();
    this.send(Option.info, infoQuery(entry.name));
    return undefined;
  }

  private takeInfo(type: number, data: Uint8Array): OptionsOutcome | undefined {
    const { name, description } = this.entries[this.infos.length]!; // it was asked for
    if (type === OptionReply.unsupported) {
      // All that there is to know is in the list.
      this.infos.push({ name, description, size: 0, flags: 0 });
      return this.askInfo();
    }
    if (!this.told.take(Option.info, type, data)) return undefined;
    const whole = this.told.whole(name);
    this.infos.push({ ...whole, description: whole.description || description });
    return this.askInfo();
  }

  private askContexts(): OptionsOutcome | undefined {
    const target = this.infos[this.at];
    // Who tells nothing of an export in detail tells nothing of its contexts.
    if (!target || !this.isStructured || target.flags === 0) return this.finish();
    const query = new MessageBuilder().string(target.name);
    // Not everything is told to those who ask for everything.
    if (this.asksForOwn) query.u32(1).string(ownNamespace);
    else query.u32(0);
    this.send(Option.listMetaContext, query.done());
    return undefined;
  }

  private takeContext(type: number, data: Uint8Array): OptionsOutcome | undefined {
    const found = (this.contexts[this.at] ??= []);
    if (!isErrorReply(type) && type !== OptionReply.ack) {
      if (found.length >= maxContexts) throw invalid(`Server lists more than ${maxContexts} contexts`);
      found.push(readContext(type, data).name);
      return undefined;
    }
    const isComplete =
      this.asksForOwn || found.length === 0 || found.some((name) => name.startsWith(ownNamespace));
    if (isComplete) this.at++;
    this.asksForOwn = !isComplete;
    return this.askContexts();
  }

  private finish(): OptionsOutcome {
    this.send(Option.abort, nothing);
    const { infos, contexts, isExtended } = this;
    const exports = infos.map((info, index) => ({ ...info, contexts: contexts[index] ?? [] }));
    return { type: 'listed', exports, isExtended, isServing: false };
  }
}

/** What comes in answer to GO and INFO. */
class ToldExport {
  private size = 0;
  private flags = 0;
  private description = '';
  private blockSizes: BlockSizes | undefined;

  /** Returned: whether that was the end of it. */
  take(option: number, type: number, data: Uint8Array): boolean {
    if (isErrorReply(type)) throw refusalOf(option, type, data);
    if (type === OptionReply.ack) {
      if (data.length > 0) throw invalid('server sent invalid NBD_REP_ACK');
      return true;
    }
    if (type !== OptionReply.info) {
      const [found, expected] = [type, OptionReply.info].map((one) => `${one} (${replyName(one)})`);
      throw invalid(`unexpected reply type ${found}, expected ${expected}`);
    }
    const reader = new MessageReader(data);
    const kind = reader.u16();
    if (kind === undefined) throw invalid(`NBD_REP_INFO length ${data.length} is too short`);
    if (kind === Info.export) this.takeSize(reader);
    else if (kind === Info.blockSize) this.takeBlockSizes(reader);
    else if (kind === Info.description) this.description = readText(reader);
    return false;
  }

  whole(name: string): RemoteExport {
    const { size, flags, description, blockSizes } = this;
    if (flags === 0) throw invalid('broken server omitted NBD_INFO_EXPORT');
    return { name, description, size, flags, blockSizes };
  }

  private takeSize(reader: MessageReader): void {
    expectRest(reader, 10);
    // As many bytes are there.
    const size = reader.u64()!;
    this.flags = reader.u16()!; // the same
    if (size > maxSize) throw invalid(`Export of ${size} bytes is too large`);
    this.size = size;
  }

  private takeBlockSizes(reader: MessageReader): void {
    expectRest(reader, 12);
    // As many bytes are there.
    const [minimum, preferred, maximum] = [reader.u32()!, reader.u32()!, reader.u32()!];
    if (!isPowerOfTwo(minimum)) throw invalid(`server minimum block size ${minimum} is not a power of two`);
    if (!isPowerOfTwo(preferred) || preferred < minimum)
      throw invalid(`server preferred block size ${preferred} is not valid`);
    if (maximum < minimum) throw invalid(`server maximum block size ${maximum} is not valid`);
    const rounded = maximum === unlimitedBlock ? maximum : maximum - (maximum % minimum);
    this.blockSizes = { minimum, preferred, maximum: rounded };
  }
}

function isPowerOfTwo(value: number): boolean {
  return value > 0 && Number.isInteger(Math.log2(value));
}

function expectRest(reader: MessageReader, bytes: number): void {
  if (reader.rest !== bytes) throw invalid(`remaining export info len ${reader.rest} is unexpected size`);
}

/** Data of GO and INFO. */
function infoQuery(name: string): Uint8Array {
  return new MessageBuilder().string(name).u16(1).u16(Info.blockSize).done();
}

/** Whether a server takes an option without data that can be done without. */
function isTaken(option: number, type: number, data: Uint8Array): boolean {
  if (isErrorReply(type)) return false;
  if (type !== OptionReply.ack) throw unexpectedReply(option, type);
  if (data.length > 0) {
    throw invalid(
      `Option ${option} ('${optionName(option)}') response length is ${data.length} (it should be zero)`,
    );
  }
  return true;
}

/** An entry of the list; undefined at its end. */
function readListed(type: number, data: Uint8Array): { name: string; description: string } | undefined {
  if (isErrorReply(type)) throw refusalOf(Option.list, type, data);
  if (type === OptionReply.ack) {
    if (data.length > 0) throw invalid('length too long for option end');
    return undefined;
  }
  expectType(type, OptionReply.server);
  const reader = new MessageReader(data);
  const bytes = reader.u32();
  if (bytes === undefined || data.length > maxOptionBytes)
    throw invalid(`incorrect option length ${data.length}`);
  const name = bytes > maxStringBytes ? undefined : reader.bytes(bytes);
  if (!name) throw invalid("incorrect name length in server's list response");
  if (reader.rest > maxStringBytes) throw invalid("incorrect description length in server's list response");
  return { name: decode(name), description: readText(reader) };
}

function readContext(type: number, data: Uint8Array): { id: number; name: string } {
  expectType(type, OptionReply.metaContext);
  const reader = new MessageReader(data);
  const id = reader.u32();
  if (id === undefined || reader.rest === 0)
    throw invalid(`Failed to negotiate meta context, server answered with unexpected length ${data.length}`);
  return { id, name: readText(reader) };
}

function expectType(type: number, expected: number): void {
  if (type === expected) return;
  const [found, wanted] = [type, expected].map((one) => `${one} (${replyName(one)})`);
  throw invalid(`Unexpected reply type ${found}, expected ${wanted}`);
}

function readText(reader: MessageReader): string {
  return decode(reader.bytes(reader.rest)!); // as many are there
}

function decode(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
}

/** Nothing has so long a name. */
function shortened(name: string): string {
  return name.length > maxStringBytes ? `${name.slice(0, maxStringBytes)}...` : name;
}

/** TLS can begin. Errors: BlockError, for a server that has none. */
export function checkTlsAnswer(type: number, data: Uint8Array): void {
  const refusal: BlockError | undefined = isErrorReply(type)
    ? refusalOf(Option.startTls, type, data)
    : undefined;
  if (type === OptionReply.unsupported) throw invalid("Server don't support STARTTLS option", refusal?.hint);
  if (refusal) throw refusal;
  isTaken(Option.startTls, type, data);
}
