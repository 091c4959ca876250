/**
 * A line of the human monitor, taken apart from left to right: words, quoted strings, flags, numbers and sizes, each as QEMU's monitor
 * reads it. What is left when one has been read begins right behind it: `"a"b` are two words.
 */
import { readExpression } from './expression.ts';
import { LineError } from './line-error.ts';

const mebibyte = 2n ** 20n;
const sizeLimit = 2n ** 63n;
const powers = 'bkmgtpe';
const escapes: Readonly<Record<string, string>> = { n: '\n', r: '\r', '\\': '\\', "'": "'", '"': '"' };

export class Words {
  private at = 0;

  /** `complain`: told what is wrong with a quoted string. */
  constructor(
    private readonly line: string,
    private readonly complain: (problem: string) => void,
  ) {}

  get isAtEnd(): boolean {
    this.skipSpace();
    return this.at >= this.line.length;
  }

  /** What has been read so far. */
  get taken(): string {
    return this.line.slice(0, this.at);
  }

  /** The name of a command: what a slash follows belongs to its arguments. Empty at the end. */
  name(): string {
    return this.take(/^[^\s/]*/);
  }

  /** The next word, without its quotes; undefined at the end, and where a quote is wrong: nothing is taken then. */
  next(): string | undefined {
    if (this.isAtEnd) return undefined;
    return this.line[this.at] === '"' ? this.quoted() : this.bare();
  }

  /** The next word with any quotes that it has. Empty at the end. */
  bare(): string {
    return this.take(/^\S*/);
  }

  /** What follows a dash, which may be nothing; undefined when there is no dash. */
  peekFlag(): string | undefined {
    this.skipSpace();
    return this.line[this.at] === '-' ? (this.line[this.at + 1] ?? '') : undefined;
  }

  takeFlag(): void {
    this.at += 2;
  }

  /** 64 bits with a sign. Errors: LineError. */
  integer(): bigint {
    const { value, end } = readExpression(this.line, this.at);
    this.at = end;
    return value;
  }

  /** Bytes; mebibytes without a suffix. Errors: LineError. */
  size(): bigint {
    this.skipSpace();
    const text = this.line.slice(this.at);
    const hex = /^\+?(0x[\da-f]+)([.kmgtp])?/i.exec(text);
    if (hex) {
      if (hex[2] !== undefined) throw new LineError('invalid size');
      this.at += hex[0].length;
      return checkedSize(BigInt(hex[1]!) * mebibyte); // the pattern has it
    }
    const match = /^\+?(?=\.?\d)(\d*)(?:\.(\d*))?([bkmgtpe])?/i.exec(text);
    if (!match) throw new LineError('invalid size');
    this.at += match[0].length;
    const [, whole = '', fraction = '', suffix = 'm'] = match;
    const unit = 1024n ** BigInt(powers.indexOf(suffix.toLowerCase()));
    const hasFraction = /[1-9]/.test(fraction);
    if (hasFraction && unit === 1n) throw new LineError('invalid size');
    const part = hasFraction ? (BigInt(fraction) * unit) / 10n ** BigInt(fraction.length) : 0n;
    return checkedSize(BigInt(whole) * unit + part);
  }

  /** All that is left. */
  rest(): string {
    return this.take(/^.*/s);
  }

  private take(pattern: RegExp): string {
    this.skipSpace();
    const text = pattern.exec(this.line.slice(this.at))![0]; // each of them matches nothing, too
    this.at += text.length;
    return text;
  }

  private skipSpace(): void {
    while (/\s/.test(this.line[this.at] ?? '')) this.at++;
  }

  private quoted(): string | undefined {
    let text = '';
    for (let at = this.at + 1; at < this.line.length; at++) {
      const char = this.line[at]!; // before the end
      if (char === '"') {
        this.at = at + 1;
        return text;
      }
      if (char !== '\\') {
        text += char;
        continue;
      }
      const escaped = this.line[++at] ?? '';
      const meant = escapes[escaped];
      if (meant === undefined) {
        this.complain(`unsupported escape code: '\\${escaped}'`);
        return undefined;
      }
      text += meant;
    }
    this.complain('unterminated string');
    return undefined;
  }
}

function checkedSize(value: bigint): bigint {
  if (value >= sizeLimit) throw new LineError('invalid size');
  return value;
}
