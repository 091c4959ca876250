/**
 * Integers of the human monitor: expressions of 64 bits that wrap, as QEMU's monitor reads them (specification: qmp-protocol, section
 * 8). `&`, `|` and `^` bind tighter than `+` and `-`, and looser than `*`, `/` and `%`. There are no registers to ask for.
 *
 * An expression goes on over blanks as long as an operator follows: `1 +1` is one, which is 2.
 */
import { LineError } from './line-error.ts';

const uint64Limit = 2n ** 64n;

interface Read {
  readonly value: bigint;
  /** Where the expression ends in the text, behind blanks. */
  readonly end: number;
}

type Operator = (left: bigint, right: bigint) => bigint;

const sums: Readonly<Record<string, Operator>> = { '+': (a, b) => a + b, '-': (a, b) => a - b };
const bits: Readonly<Record<string, Operator>> = {
  '&': (a, b) => a & b,
  '|': (a, b) => a | b,
  '^': (a, b) => a ^ b,
};
const products: Readonly<Record<string, Operator>> = {
  '*': (a, b) => a * b,
  '/': (a, b) => a / divisor(b),
  '%': (a, b) => a % divisor(b),
};
/** The loosest first. */
const levels = [sums, bits, products];

function divisor(value: bigint): bigint {
  if (value === 0n) throw new LineError('division by zero');
  return value;
}

/** Reads one from `start` on. Errors: LineError. */
export function readExpression(text: string, start: number): Read {
  const reader = new Reader(text, start);
  const value = reader.level(0);
  return { value, end: reader.at };
}

class Reader {
  constructor(
    private readonly text: string,
    public at: number,
  ) {
    this.skipSpace();
  }

  /** Operators of this level and tighter ones. */
  level(index: number): bigint {
    const operators = levels[index];
    if (!operators) return this.unary();
    let value = this.level(index + 1);
    for (let operator = operators[this.next]; operator; operator = operators[this.next]) {
      this.skip(1);
      value = BigInt.asIntN(64, operator(value, this.level(index + 1)));
    }
    return value;
  }

  private unary(): bigint {
    const sign = this.next;
    if (sign === '') throw new LineError('unexpected end of expression');
    if (sign === '+' || sign === '-' || sign === '~') {
      this.skip(1);
      const value = this.unary();
      return BigInt.asIntN(64, sign === '-' ? -value : sign === '~' ? ~value : value);
    }
    if (sign === '(') return this.parenthesis();
    if (sign === "'") return this.character();
    if (sign === '$') throw new LineError('unknown register');
    return this.number();
  }

  private parenthesis(): bigint {
    this.skip(1);
    const value = this.level(0);
    if (this.next !== ')') throw new LineError("')' expected");
    this.skip(1);
    return value;
  }

  private character(): bigint {
    const code = this.text.charCodeAt(this.at + 1);
    if (Number.isNaN(code)) throw new LineError('character constant expected');
    if (this.text[this.at + 2] !== "'") throw new LineError("missing terminating ' character");
    this.skip(3);
    return BigInt(code);
  }

  /** Decimal, `0x` hexadecimal or `0` octal, up to the first character that is none of its digits. */
  private number(): bigint {
    const digits = /^(0x[\da-f]+|0[0-7]*|[1-9]\d*)/i.exec(this.text.slice(this.at))?.[0];
    if (digits === undefined) throw new LineError(`invalid char '${this.next}' in expression`);
    const value = BigInt(/^0[0-7]/.test(digits) ? `0o${digits}` : digits);
    if (value >= uint64Limit) throw new LineError('number too large');
    this.skip(digits.length);
    return BigInt.asIntN(64, value);
  }

  private get next(): string {
    return this.text[this.at] ?? '';
  }

  private skip(count: number): void {
    this.at += count;
    this.skipSpace();
  }

  private skipSpace(): void {
    while (/\s/.test(this.next)) this.at++;
  }
}
