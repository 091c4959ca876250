/** From a line to the arguments of a command: words, quotes, flags and numbers as QEMU's human monitor reads them. */
import { parseSize } from '../shared/numbers.ts';
import type { Arguments, HmpCommand, Parameter } from './command.ts';

const mebibyte = 1 << 20;
const escapes: Readonly<Record<string, string>> = { n: '\n', r: '\r', '\\': '\\', "'": "'", '"': '"' };

/** What was wrong with a line is shown as it is, and not as an error. */
export class LineError extends Error {
  override readonly name = 'LineError';
}

export class Words {
  private at = 0;

  constructor(private readonly line: string) {}

  get isAtEnd(): boolean {
    this.skipSpace();
    return this.at >= this.line.length;
  }

  /** The next word, without its quotes; undefined at the end. Throws for a quote that does not end. */
  next(): string | undefined {
    if (this.isAtEnd) return undefined;
    return this.line[this.at] === '"' ? this.quoted() : this.plain();
  }

  /** A `-x` with one of these letters, which is taken. */
  takeFlag(letters: string): string | undefined {
    this.skipSpace();
    const letter = this.line[this.at + 1];
    const isFlag = this.line[this.at] === '-' && letter !== undefined && letters.includes(letter);
    if (!isFlag || !/^\s?$/.test(this.line[this.at + 2] ?? '')) return undefined;
    this.at += 2;
    return letter;
  }

  rest(): string {
    this.skipSpace();
    const text = this.line.slice(this.at);
    this.at = this.line.length;
    return text;
  }

  private skipSpace(): void {
    while (/\s/.test(this.line[this.at] ?? '')) this.at++;
  }

  private plain(): string {
    const start = this.at;
    while (this.at < this.line.length && !/\s/.test(this.line[this.at]!)) this.at++;
    return this.line.slice(start, this.at);
  }

  private quoted(): string {
    let text = '';
    for (this.at++; this.at < this.line.length; this.at++) {
      const char = this.line[this.at]!;
      if (char === '"') {
        this.at++;
        return text;
      }
      if (char !== '\\') {
        text += char;
        continue;
      }
      const escaped = this.line[++this.at] ?? '';
      const meant = escapes[escaped];
      if (meant === undefined) throw new LineError(`unsupported escape code: '\\${escaped}'`);
      text += meant;
    }
    throw new LineError('unterminated string');
  }
}

/** Errors: LineError. */
export function parseArguments(command: HmpCommand, words: Words): Arguments {
  const { name, parameters = [] } = command;
  const args: Record<string, string | number | boolean | undefined> = {};
  const flags = parameters.filter(({ kind }) => kind === 'flag');
  const letters = flags.map(({ letter }) => letter).join('');
  const takeFlags = (): void => {
    for (let letter = words.takeFlag(letters); letter; letter = words.takeFlag(letters)) {
      args[flags.find((flag) => flag.letter === letter)!.name] = true;
    }
  };
  try {
    for (const parameter of parameters) {
      if (parameter.kind === 'flag') takeFlags();
      else args[parameter.name] = readParameter(name, parameter, words);
    }
    if (!words.isAtEnd) throw new LineError(`${name}: extraneous characters at the end of line`);
  } catch (error) {
    if (!(error instanceof LineError)) throw error;
    throw new LineError(`${error.message}\nTry "help ${name}" for more information`);
  }
  return args;
}

function readParameter(command: string, parameter: Parameter, words: Words): string | number | undefined {
  const { kind, optional } = parameter;
  if (kind === 'rest') return words.rest();
  const text = words.next();
  if (text === undefined) {
    if (optional) return undefined;
    throw new LineError(
      kind === 'size'
        ? 'invalid size'
        : kind === 'int'
          ? 'unexpected end of expression'
          : `${command}: string expected`,
    );
  }
  switch (kind) {
    case 'int':
      if (!/^[+-]?(\d+|0x[\da-f]+)$/i.test(text))
        throw new LineError(`invalid char '${text[0]}' in expression`);
      return Number(text);
    case 'size': {
      const parsed = parseSize(/\d$/.test(text) && !/^0x/i.test(text) ? `${Number(text) * mebibyte}` : text);
      if (!parsed.ok) throw new LineError('invalid size');
      return parsed.value;
    }
    default:
      return text;
  }
}
