/**
 * The server's side of the negotiation, without I/O (specification: nbd, section 2): options in, answers out, and in the
 * end an export that was chosen.
 *
 * An option that is well-formed gets an answer, even if there is no such option; what is no option at all ends the
 * connection. Answers are in QEMU's words.
 *
 * | state      | expects                                  | goes on to                                          |
 * |------------|------------------------------------------|-----------------------------------------------------|
 * | `flags`    | the client's flags                       | `option`; `ended` for flags that nobody has          |
 * | `option`   | the head of an option                    | `data`; `skipped` if it is too long to be kept       |
 * | `data`     | what comes with it                       | `option`, `tls`, `chosen`, `ended`                   |
 * | `skipped`  | the same, and drops it                   | `option`                                             |
 * | `tls`      | nothing: whoever has the socket sets it up | `option`, by `tlsBegun`                             |
 */

import { nbdOption, nbdOptionReply } from '../../trace/events.ts';
import {
  HandshakeFlag,
  Info,
  initMagic,
  maxKeptOptionBytes,
  maxOptionBytes,
  maxStringBytes,
  Option,
  OptionReply,
  optionMagic,
  optionName,
  optionReplyMagic,
  type ReplyForm,
  replyName,
  TransmissionFlag,
} from '../constants.ts';
import { isMagic, MessageBuilder, MessageReader } from '../fields.ts';
import type { Input } from '../input.ts';
import type { Output } from '../output.ts';
import { contextsFor } from './meta-contexts.ts';
import type { MetaContext, Offer, OfferedExport } from './offer.ts';

/** What has been agreed on. */
export interface Agreement<Export extends OfferedExport> {
  readonly export: Export;
  readonly replies: ReplyForm;
  readonly contexts: readonly MetaContext[];
}

type HandshakeOutcome<Export extends OfferedExport> =
  | { readonly type: 'tls' }
  | { readonly type: 'chosen'; readonly agreement: Agreement<Export> }
  /** `reason` absent: as the client wanted it. */
  | { readonly type: 'ended'; readonly reason?: string };

/** An error that the option is answered with. */
class Refusal {
  constructor(
    readonly reply: number,
    readonly message: string,
  ) {}
}

/** Names are abbreviated in messages from here on. */
const maxShownNameLength = 80;

export class Handshake<Export extends OfferedExport> {
  private state: 'flags' | 'option' | 'data' | 'skipped' | 'tls' = 'flags';
  private option = 0;
  private dataBytes = 0;
  private isFixed = false;
  private sendsZeroes = true;
  private isSecure = false;
  private replies: ReplyForm = 'simple';
  /** What the client has set last, and for which export. */
  private chosenContexts: { name: string; contexts: MetaContext[] } | undefined;

  constructor(
    private readonly offer: Offer<Export>,
    private readonly input: Input,
    private readonly output: Output,
    /** As it is called where events are watched. */
    private readonly client: number,
  ) {
    const flags = HandshakeFlag.fixedNewstyle | HandshakeFlag.noZeroes;
    output.add(new MessageBuilder().words(initMagic).words(optionMagic).u16(flags).done());
  }

  /** Deals with what has arrived, until something comes of it, or there is not enough. */
  proceed(): HandshakeOutcome<Export> | undefined {
    for (;;) {
      switch (this.state) {
        case 'flags': {
          const data = this.input.take(4);
          if (!data) return undefined;
          const unknown = this.takeFlags(new MessageReader(data).u32()!);
          if (unknown !== 0) return ended(`Unknown client flags 0x${unknown.toString(16)} received`);
          this.state = 'option';
          break;
        }
        case 'option': {
          const head = this.input.take(16);
          if (!head) return undefined;
          const problem = this.takeHead(new MessageReader(head));
          if (problem !== undefined) return ended(problem);
          break;
        }
        case 'skipped': {
          this.dataBytes -= this.input.skip(this.dataBytes);
          if (this.dataBytes > 0) return undefined;
          this.state = 'option';
          break;
        }
        case 'data': {
          const data = this.input.take(this.dataBytes);
          if (!data) return undefined;
          this.state = 'option';
          const outcome = this.takeOption(data);
          if (outcome) return outcome;
          break;
        }
        case 'tls':
          return undefined;
      }
    }
  }

  /** What is missing of a negotiation that will not go on; undefined when it has not begun. */
  get missing(): string | undefined {
    const end = 'Unexpected end-of-file before all data were read';
    if (this.state === 'flags') return undefined;
    if (this.state !== 'option') return end;
    // Magic, option, length of the data.
    if (this.input.length < 8) return `Failed to read opts magic: ${end}`;
    return `Failed to read ${this.input.length < 12 ? 'option' : 'option length'}: ${end}`;
  }

  /** The rest of the negotiation is secret. */
  tlsBegun(): void {
    this.isSecure = true;
    this.state = 'option';
    // What was agreed on in the open may not be what the client wanted.
    this.replies = 'simple';
    this.chosenContexts = undefined;
  }

  /** Returned: flags that nobody has. */
  private takeFlags(flags: number): number {
    this.isFixed = (flags & HandshakeFlag.fixedNewstyle) !== 0;
    this.sendsZeroes = (flags & HandshakeFlag.noZeroes) === 0;
    return (flags & ~(HandshakeFlag.fixedNewstyle | HandshakeFlag.noZeroes)) >>> 0;
  }

  /** Returned: why the connection has to end. */
  private takeHead(head: MessageReader): string | undefined {
    if (!isMagic(head.words(), optionMagic)) return 'Bad magic received';
    this.option = head.u32()!; // the head has 16 bytes
    this.dataBytes = head.u32()!; // the same
    if (this.dataBytes > maxOptionBytes)
      return `len (${this.dataBytes}) is larger than max len (${maxOptionBytes})`;
    if (this.dataBytes <= maxKeptOptionBytes) this.state = 'data';
    else {
      this.state = 'skipped';
      this.reply(OptionReply.tooBig, textOf(`option '${optionName(this.option)}' is too long`));
    }
    return undefined;
  }

  private takeOption(data: Uint8Array): HandshakeOutcome<Export> | undefined {
    const { option, client } = this;
    if (nbdOption.enabled) nbdOption.emit({ client, option: optionName(option), bytes: data.length });
    if (!this.isFixed && option !== Option.exportName)
      return ended(`Unsupported option ${option} (${optionName(option)})`);
    // Whoever does not want to go on need not say it in secret.
    if (option === Option.abort) {
      this.acknowledge();
      return { type: 'ended' };
    }
    if (this.offer.usesTls && !this.isSecure && option !== Option.startTls) {
      const message = `Option 0x${option.toString(16)} not permitted before TLS`;
      if (option === Option.exportName) return ended(message);
      this.refuse(new Refusal(OptionReply.tlsRequired, message));
      return undefined;
    }
    try {
      return this.answer(new MessageReader(data), data);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.refuse(error);
      return undefined;
    }
  }

  private answer(reader: MessageReader, data: Uint8Array): HandshakeOutcome<Export> | undefined {
    switch (this.option) {
      case Option.exportName:
        return this.exportName(data);
      case Option.list:
        return this.list(reader);
      case Option.startTls:
        return this.startTls(reader);
      case Option.info:
      case Option.go:
        return this.info(reader);
      case Option.structuredReply:
      case Option.extendedHeaders:
        return this.replyForm(reader);
      case Option.listMetaContext:
      case Option.setMetaContext:
        return this.metaContext(reader);
      default:
        throw new Refusal(
          OptionReply.unsupported,
          `Unsupported option ${this.option} (${optionName(this.option)})`,
        );
    }
  }

  private exportName(data: Uint8Array): HandshakeOutcome<Export> {
    if (data.length > maxStringBytes) return ended('Bad length received');
    const found = this.offer.find(decode(data));
    if (!found) return ended('export not found');
    const answer = new MessageBuilder().u64(found.size).u16(this.flagsOf(found));
    this.output.add(answer.zeros(this.sendsZeroes ? 124 : 0).done());
    return this.choose(found);
  }

  private list(reader: MessageReader): undefined {
    this.expectEnd(reader);
    for (const { name, description } of this.offer.list()) {
      this.reply(OptionReply.server, new MessageBuilder().string(name).text(description).done());
    }
    this.acknowledge();
  }

  private startTls(reader: MessageReader): HandshakeOutcome<Export> {
    this.expectEnd(reader);
    if (!this.offer.usesTls) throw new Refusal(OptionReply.policy, 'TLS not configured');
    if (this.isSecure) throw new Refusal(OptionReply.invalid, 'TLS already enabled');
    // Whoever can write into the connection now could make it look as if the client had said it in secret.
    if (this.input.length > 0) return ended('data sent in the clear behind the option that starts TLS');
    this.acknowledge();
    this.state = 'tls';
    return { type: 'tls' };
  }

  private info(reader: MessageReader): HandshakeOutcome<Export> | undefined {
    const name = this.readName(reader);
    const wanted = new Set<number>();
    for (let count = this.expect(reader.u16()); count > 0; count--) wanted.add(this.expect(reader.u16()));
    this.expectEnd(reader);
    const found = this.findExport(name);
    const { minimum, preferred, maximum } = found.blockSizes;
    const isGo = this.option === Option.go;
    if (wanted.has(Info.name))
      this.reply(OptionReply.info, new MessageBuilder().u16(Info.name).text(found.name).done());
    if (found.description !== '') {
      const description = new MessageBuilder().u16(Info.description).text(found.description);
      this.reply(OptionReply.info, description.done());
    }
    // Who goes on without asking for it does not keep to it.
    const told = wanted.has(Info.blockSize) || !isGo ? minimum : 1;
    const sizes = new MessageBuilder().u16(Info.blockSize).u32(told).u32(preferred).u32(maximum);
    this.reply(OptionReply.info, sizes.done());
    const size = new MessageBuilder().u16(Info.export).u64(found.size).u16(this.flagsOf(found));
    this.reply(OptionReply.info, size.done());
    if (!isGo && !wanted.has(Info.blockSize) && minimum > 1)
      throw new Refusal(OptionReply.blockSizeRequired, 'request NBD_INFO_BLOCK_SIZE to use this export');
    this.acknowledge();
    return isGo ? this.choose(found) : undefined;
  }

  private replyForm(reader: MessageReader): undefined {
    this.expectEnd(reader);
    const isExtended = this.option === Option.extendedHeaders;
    if (this.replies === 'extended')
      throw new Refusal(
        isExtended ? OptionReply.invalid : OptionReply.extendedHeadersRequired,
        'extended headers already negotiated',
      );
    if (this.replies === 'structured' && !isExtended)
      throw new Refusal(OptionReply.invalid, 'structured reply already negotiated');
    this.replies = isExtended ? 'extended' : 'structured';
    this.acknowledge();
  }

  private metaContext(reader: MessageReader): undefined {
    const isSet = this.option === Option.setMetaContext;
    if (isSet && this.replies === 'simple') {
      const option = optionName(this.option);
      throw new Refusal(
        OptionReply.invalid,
        `request option '${option}' when structured reply is not negotiated`,
      );
    }
    if (isSet) this.chosenContexts = undefined;
    const name = this.readName(reader);
    const found = this.findExport(name);
    const queries: string[] = [];
    for (let count = this.expect(reader.u32()); count > 0; count--) {
      const bytes = this.expect(reader.bytes(this.expect(reader.u32())));
      // Nothing has so long a name.
      if (bytes.length <= maxStringBytes) queries.push(decode(bytes));
    }
    this.expectEnd(reader);
    const contexts = contextsFor(found.contexts, queries, isSet ? 'set' : 'list');
    for (const context of contexts) {
      const answer = new MessageBuilder().u32(isSet ? context.id : 0).text(context.name);
      this.reply(OptionReply.metaContext, answer.done());
    }
    if (isSet) this.chosenContexts = { name, contexts };
    this.acknowledge();
  }

  private choose(found: Export): HandshakeOutcome<Export> {
    const { replies } = this;
    return { type: 'chosen', agreement: { export: found, replies, contexts: this.contextsOf(found.name) } };
  }

  private flagsOf({ name, flags }: Export): number {
    let all = flags;
    if (this.replies !== 'simple') all |= TransmissionFlag.sendDf;
    // Contexts may yet be chosen when somebody only asks.
    const mayHaveContexts = this.option === Option.info || this.contextsOf(name).length > 0;
    if (this.replies === 'extended' && mayHaveContexts) all |= TransmissionFlag.blockStatusPayload;
    return all;
  }

  /** Those of another export are none of this one's. */
  private contextsOf(name: string): readonly MetaContext[] {
    return this.chosenContexts?.name === name ? this.chosenContexts.contexts : [];
  }

  private findExport(name: string): Export {
    const found = this.offer.find(name);
    if (found) return found;
    const shown = name.length >= maxShownNameLength ? `${name.slice(0, maxShownNameLength)}...` : name;
    throw new Refusal(OptionReply.unknown, `export '${shown}' not present`);
  }

  private readName(reader: MessageReader): string {
    const length = this.expect(reader.u32());
    if (length > maxStringBytes) throw new Refusal(OptionReply.invalid, `Invalid name length: ${length}`);
    const bytes = this.expect(reader.bytes(length));
    if (!bytes.includes(0)) return decode(bytes);
    const option = optionName(this.option);
    throw new Refusal(OptionReply.invalid, `Unexpected embedded NUL in option ${option}`);
  }

  private expect<T>(value: T | undefined): T {
    if (value !== undefined) return value;
    const option = optionName(this.option);
    throw new Refusal(OptionReply.invalid, `Inconsistent lengths in option ${option}`);
  }

  private expectEnd(reader: MessageReader): void {
    if (reader.rest === 0) return;
    const option = optionName(this.option);
    throw new Refusal(OptionReply.invalid, `option '${option}' has unexpected length`);
  }

  private refuse({ reply, message }: Refusal): void {
    this.reply(reply, textOf(message));
  }

  private acknowledge(): void {
    this.reply(OptionReply.ack, new Uint8Array(0));
  }

  private reply(type: number, data: Uint8Array): void {
    if (nbdOptionReply.enabled) {
      const option = optionName(this.option);
      nbdOptionReply.emit({ client: this.client, option, reply: replyName(type), bytes: data.length });
    }
    const head = new MessageBuilder().words(optionReplyMagic).u32(this.option).u32(type).u32(data.length);
    this.output.add(head.bytes(data).done());
  }
}

function ended(reason: string): { type: 'ended'; reason: string } {
  return { type: 'ended', reason };
}

function decode(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
}

function textOf(message: string): Uint8Array {
  return new TextEncoder().encode(message);
}
