/**
 * The lexer of QMP's JSON dialect: bytes in, tokens out (specification: qmp-protocol, section 4).
 *
 * It sees one byte at a time and keeps its state between calls, so where input is cut makes no difference. An error
 * token carries the characters collected so far; after one, everything is skipped up to a structural character or a
 * control character, which is then read afresh.
 */

export type Token =
  | { type: 'punctuator'; text: '{' | '}' | '[' | ']' | ':' | ',' }
  | { type: 'string'; text: string }
  | { type: 'integer' | 'float' | 'keyword'; text: string }
  | { type: 'error'; text: string };

type State =
  | 'start'
  | 'string'
  | 'escape'
  | 'minus'
  | 'zero'
  | 'digits'
  | 'point'
  | 'fraction'
  | 'exponent'
  | 'exponent-sign'
  | 'exponent-digits'
  | 'keyword'
  | 'recovery';

const punctuators = '{}[]:,';

const isDigit = (byte: number): boolean => byte >= 0x30 && byte <= 0x39;
const isSpace = (byte: number): boolean => byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d;
const isLower = (byte: number): boolean => byte >= 0x61 && byte <= 0x7a;

const textPieceBytes = 4096;

/** One character per byte. (What TextDecoder calls latin1 is another encoding.) */
function toText(bytes: readonly number[]): string {
  if (bytes.length <= textPieceBytes) return String.fromCharCode(...bytes);
  let text = '';
  for (let at = 0; at < bytes.length; at += textPieceBytes) {
    text += String.fromCharCode(...bytes.slice(at, at + textPieceBytes));
  }
  return text;
}

export class JsonLexer {
  private state: State = 'start';
  private collected: number[] = [];
  private quote = 0;

  constructor(private readonly emit: (token: Token) => void) {}

  /** Bytes of the token that is being read. */
  get pendingBytes(): number {
    return this.collected.length;
  }

  reset(): void {
    this.state = 'start';
    this.collected = [];
  }

  feed(byte: number): void {
    // A byte that ends a token is looked at again from the start.
    while (!this.consume(byte));
  }

  /** Takes what is plain text of a string from `at` on, all at once. Returns where that ends. */
  skipPlain(bytes: Uint8Array, at: number): number {
    if (this.state !== 'string') return at;
    const { collected, quote } = this;
    for (; at < bytes.length; at++) {
      const byte = bytes[at]!; // at < length
      if (byte < 0x20 || byte >= 0xfe || byte === 0x5c || byte === quote) break;
      collected.push(byte);
    }
    return at;
  }

  /** The input is over: completes a number or keyword; any other token that it ends in is an error. */
  finish(): void {
    if (/^(keyword|zero|digits|fraction|exponent-digits)$/.test(this.state)) this.feed(0x20);
    else if (this.collected.length > 0) this.emit({ type: 'error', text: toText(this.collected) });
    this.reset();
  }

  /** True when `byte` was used. */
  private consume(byte: number): boolean {
    switch (this.state) {
      case 'start':
        this.begin(byte);
        return true;
      case 'string':
        this.inString(byte);
        return true;
      case 'escape':
        if (byte < 0x20 || byte >= 0xfe) this.fail(byte);
        else this.keep(byte, 'string');
        return true;
      case 'keyword':
        if (isLower(byte)) {
          this.keep(byte, 'keyword');
          return true;
        }
        this.complete('keyword');
        return false;
      case 'recovery':
        return this.recover(byte);
      default:
        return this.inNumber(byte);
    }
  }

  private begin(byte: number): void {
    this.collected = [];
    const char = String.fromCharCode(byte);
    if (isSpace(byte)) return;
    if (punctuators.includes(char)) this.emit({ type: 'punctuator', text: char as '{' });
    else if (char === '"' || char === "'") {
      this.quote = byte;
      this.keep(byte, 'string');
    } else if (char === '-') this.keep(byte, 'minus');
    else if (char === '0') this.keep(byte, 'zero');
    else if (isDigit(byte)) this.keep(byte, 'digits');
    else if (isLower(byte)) this.keep(byte, 'keyword');
    else this.fail(byte);
  }

  private inString(byte: number): void {
    if (byte < 0x20 || byte >= 0xfe) this.fail(byte);
    else if (byte === 0x5c) this.keep(byte, 'escape');
    else if (byte === this.quote) {
      this.collected.push(byte);
      this.complete('string');
    } else this.keep(byte, 'string');
  }

  private inNumber(byte: number): boolean {
    const next = this.nextInNumber(byte);
    if (next === 'end') {
      this.complete(this.state === 'zero' || this.state === 'digits' ? 'integer' : 'float');
      return false;
    }
    if (next === undefined) this.fail(byte);
    else this.keep(byte, next);
    return true;
  }

  /** The state after `byte`, `end` when the number was complete before it, undefined when it is wrong. */
  private nextInNumber(byte: number): State | 'end' | undefined {
    const char = String.fromCharCode(byte);
    const isExponent = char === 'e' || char === 'E';
    switch (this.state) {
      case 'minus':
        if (char === '0') return 'zero';
        return isDigit(byte) ? 'digits' : undefined;
      case 'zero':
        if (char === '.') return 'point';
        // `00` is wrong, and an `e` begins something else.
        return isDigit(byte) ? undefined : 'end';
      case 'digits':
        if (char === '.') return 'point';
        if (isExponent) return 'exponent';
        return isDigit(byte) ? 'digits' : 'end';
      case 'point':
        return isDigit(byte) ? 'fraction' : undefined;
      case 'fraction':
        if (isExponent) return 'exponent';
        return isDigit(byte) ? 'fraction' : 'end';
      case 'exponent':
        if (char === '+' || char === '-') return 'exponent-sign';
        return isDigit(byte) ? 'exponent-digits' : undefined;
      case 'exponent-sign':
        return isDigit(byte) ? 'exponent-digits' : undefined;
      default:
        return isDigit(byte) ? 'exponent-digits' : 'end';
    }
  }

  private recover(byte: number): boolean {
    const control = (byte < 0x20 && byte !== 0x09) || byte >= 0xfe;
    if (!control && !punctuators.includes(String.fromCharCode(byte))) return true;
    this.state = 'start';
    return false;
  }

  private keep(byte: number, state: State): void {
    this.collected.push(byte);
    this.state = state;
  }

  private complete(type: 'string' | 'integer' | 'float' | 'keyword'): void {
    const text = toText(this.collected);
    this.state = 'start';
    this.collected = [];
    this.emit({ type, text });
  }

  private fail(byte: number): void {
    this.collected.push(byte);
    const text = toText(this.collected);
    this.collected = [];
    this.state = 'recovery';
    this.emit({ type: 'error', text });
  }
}
