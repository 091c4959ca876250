/**
 * The client's side of the negotiation, without I/O (specification: nbd, section 5): what the server says in, options out, and
 * in the end an export that can be used, or a list of all that there are.
 *
 * Servers of three ages are understood: those that tell of their one export at once (old style), those that know options
 * but give no answer to them (newstyle), and those that answer each (fixed newstyle). What is no answer ends it. Errors are in
 * QEMU's words, with what the server has said in the hint.
 *
 * | state       | expects                                        | goes on to                                            |
 * |-------------|------------------------------------------------|-------------------------------------------------------|
 * | `magic`     | a server's first words                         | `style`                                               |
 * | `style`     | how it negotiates                              | `flags`; `oldExport`                                  |
 * | `flags`     | its flags                                      | `reply`; `export` where options are not answered      |
 * | `reply`     | the head of an answer to the last option       | `data`                                                |
 * | `data`      | what comes with it                             | `reply`: more of it, or the next option (options.ts says which); `tls`, `export`, `ended` |
 * | `tls`       | nothing: whoever has the socket sets it up     | `reply`, by `tlsBegun`                                |
 * | `export`    | size and flags, in answer to EXPORT_NAME       | `ended`                                               |
 * | `oldExport` | the same of a server of the old style          | `ended`                                               |
 * | `ended`     | nothing                                        |                                                       |
 */
import { BlockError, invalid } from '../../base/errors.ts';
import {
  HandshakeFlag,
  initMagic,
  isErrorReply,
  maxOptionBytes,
  Option,
  oldStyleMagic,
  optionMagic,
  optionName,
  optionReplyMagic,
  replyName,
  type Words,
} from '../constants.ts';
import { isMagic, MessageBuilder, MessageReader } from '../fields.ts';
import type { Input } from '../input.ts';
import type { Output } from '../output.ts';
import { missingOfAnswer, missingOfExport } from './missing-field.ts';
import { checkTlsAnswer, ListOptions, type OptionDialog, UseOptions, type WholeOutcome } from './options.ts';

/** What somebody wants of a server. */
export type Purpose =
  | {
      readonly type: 'use';
      /** Of the export. */
      readonly name: string;
      /** The kind of block status to ask for. */
      readonly context: string;
      readonly usesTls: boolean;
    }
  /** To know what there is. */
  | { readonly type: 'list'; readonly usesTls: boolean };

export type HandshakeOutcome =
  | { readonly type: 'tls' }
  | WholeOutcome
  | { readonly type: 'ended'; readonly error: BlockError };

type State = 'magic' | 'style' | 'flags' | 'reply' | 'data' | 'tls' | 'export' | 'oldExport' | 'ended';

/** Bytes that mean nothing, behind what older servers tell of an export. */
const reservedBytes = 124;
const sizeBytes = 8;
const knownOldFlags = 0xffff;

export class ClientHandshake {
  private state: State = 'magic';
  private readonly dialog: OptionDialog;
  private reservedFollow = true;
  /** The last option. */
  private asked = 0;
  /** Of the answer whose data is awaited. */
  private replyType = 0;
  private dataBytes = 0;

  constructor(
    private readonly purpose: Purpose,
    private readonly input: Input,
    private readonly output: Output,
  ) {
    const send = (option: number, data: Uint8Array): void => this.send(option, data);
    this.dialog = purpose.type === 'use' ? new UseOptions(purpose, send) : new ListOptions(send);
  }

  /** Deals with what has arrived, until something comes of it, or there is not enough. */
  proceed(): HandshakeOutcome | undefined {
    try {
      for (;;) {
        const outcome = this.step();
        if (outcome === 'waits') return undefined;
        if (outcome) return outcome;
      }
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
      return this.fail(error);
    }
  }

  /** The rest of the negotiation is secret. */
  tlsBegun(): void {
    this.state = 'reply';
    this.dialog.begin();
  }

  /** The server says nothing more. Returned: what it has left unsaid. */
  cutOff(): HandshakeOutcome {
    const field = this.fieldAwaited();
    this.state = 'ended';
    const error = new BlockError('EINVAL', 'Unexpected end-of-file before all data were read');
    return { type: 'ended', error: error.within(`Failed to read ${field}`) };
  }

  private step(): HandshakeOutcome | 'waits' | undefined {
    switch (this.state) {
      case 'magic': {
        const magic = this.takeWords();
        if (!magic) return 'waits';
        if (!isMagic(magic, initMagic)) throw invalid(`Bad initial magic received: ${hex(magic)}`);
        this.state = 'style';
        return undefined;
      }
      case 'style': {
        const magic = this.takeWords();
        if (!magic) return 'waits';
        this.takeStyle(magic);
        return undefined;
      }
      case 'flags': {
        const flags = this.input.take(2);
        if (!flags) return 'waits';
        this.takeFlags(new MessageReader(flags).u16()!); // it has two bytes
        return undefined;
      }
      case 'reply': {
        const head = this.input.take(20);
        if (!head) return 'waits';
        this.takeHead(new MessageReader(head));
        return undefined;
      }
      case 'data': {
        const data = this.input.take(this.dataBytes);
        if (!data) return 'waits';
        this.state = 'reply';
        return this.takeAnswer(data);
      }
      case 'export':
        return this.takeExport(2);
      case 'oldExport':
        return this.takeExport(4);
      case 'tls':
      case 'ended':
        return 'waits';
    }
  }

  private takeWords(): Words | undefined {
    const bytes = this.input.take(8);
    return bytes && new MessageReader(bytes).words();
  }

  private takeStyle(magic: Words): void {
    const { purpose } = this;
    if (isMagic(magic, optionMagic)) {
      this.state = 'flags';
      return;
    }
    if (!isMagic(magic, oldStyleMagic)) throw invalid(`Bad server magic received: ${hex(magic)}`);
    if (purpose.usesTls) throw invalid('Server does not support STARTTLS');
    if (purpose.type === 'use' && purpose.name !== '')
      throw invalid('Server does not support non-empty export names');
    this.state = 'oldExport';
  }

  private takeFlags(flags: number): void {
    const { purpose, output } = this;
    const own = flags & (HandshakeFlag.fixedNewstyle | HandshakeFlag.noZeroes);
    this.reservedFollow = (flags & HandshakeFlag.noZeroes) === 0;
    output.add(new MessageBuilder().u32(own).done());
    if ((flags & HandshakeFlag.fixedNewstyle) !== 0) {
      this.state = 'reply';
      if (purpose.usesTls) this.send(Option.startTls, new Uint8Array(0));
      else this.dialog.begin();
      return;
    }
    if (purpose.usesTls) throw invalid('Server does not support STARTTLS');
    if (purpose.type === 'list') throw invalid('Server does not support export lists');
    this.askByName();
  }

  /** The last option: it is answered by what is told of the export, or by the end of the connection. */
  private askByName(): void {
    const { purpose } = this;
    const name = purpose.type === 'use' ? purpose.name : '';
    this.send(Option.exportName, new TextEncoder().encode(name));
    this.state = 'export';
  }

  private takeHead(head: MessageReader): void {
    if (!isMagic(head.words(), optionReplyMagic)) throw invalid('Unexpected option reply magic');
    // The head has 20 bytes.
    const [option, type, bytes] = [head.u32()!, head.u32()!, head.u32()!];
    const { asked } = this;
    if (option !== asked) {
      throw invalid(
        `Unexpected option type ${option} (${optionName(option)}), expected ${asked} (${optionName(asked)})`,
      );
    }
    if (bytes > maxOptionBytes) {
      throw invalid(
        option === Option.list && !isErrorReply(type)
          ? `incorrect option length ${bytes}`
          : `server error ${type} (${replyName(type)}) message is too long`,
      );
    }
    this.replyType = type;
    this.dataBytes = bytes;
    this.state = 'data';
  }

  private takeAnswer(data: Uint8Array): HandshakeOutcome | undefined {
    const { replyType, dialog } = this;
    if (this.asked === Option.startTls) {
      checkTlsAnswer(replyType, data);
      // Whoever can write into the connection now could make it look as if the server had said it in secret.
      if (this.input.length > 0) throw invalid('Data sent in the clear behind the answer that starts TLS');
      this.state = 'tls';
      return { type: 'tls' };
    }
    const outcome = dialog.answered(this.asked, replyType, data);
    if (!outcome) return undefined;
    if (outcome.type === 'by-name') {
      this.askByName();
      return undefined;
    }
    this.state = 'ended';
    return outcome;
  }

  private takeExport(flagBytes: 2 | 4): HandshakeOutcome | 'waits' {
    const hasReserved = flagBytes === 4 || this.reservedFollow;
    const bytes = this.input.peek(sizeBytes + flagBytes);
    if (!bytes) return 'waits';
    const reader = new MessageReader(bytes);
    // There are as many bytes.
    const size = reader.u64()!;
    const flags = flagBytes === 2 ? reader.u16()! : reader.u32()!; // the same
    if (flags > knownOldFlags) throw invalid(`Unexpected export flags ${flags.toString(16)}x`);
    if (!this.input.take(bytes.length + (hasReserved ? reservedBytes : 0))) return 'waits';
    this.state = 'ended';
    return this.dialog.byName(size, flags);
  }

  private send(option: number, data: Uint8Array): void {
    this.asked = option;
    const head = new MessageBuilder().words(optionMagic).u32(option).u32(data.length);
    this.output.add(head.bytes(data).done());
  }

  /** A server that can be told hears that nothing more will come of it. */
  private fail(error: BlockError): HandshakeOutcome {
    const isListening = this.state === 'reply' && this.asked !== 0;
    if (isListening) this.send(Option.abort, new Uint8Array(0));
    this.state = 'ended';
    return { type: 'ended', error };
  }

  /** As errors name it. */
  private fieldAwaited(): string {
    switch (this.state) {
      case 'magic':
        return 'initial magic';
      case 'style':
        return 'server magic';
      case 'flags':
        return 'server flags';
      case 'export':
      case 'oldExport':
        return missingOfExport(this.input.length);
      case 'data':
        return missingOfAnswer(this.asked, this.replyType, this.input.peek(this.input.length)!); // all that there is
      default:
        return 'option reply';
    }
  }
}

function hex([high, low]: Words): string {
  return `0x${((BigInt(high) << 32n) | BigInt(low)).toString(16)}`;
}
