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

  /** The letter of a `-x`, which is taken. */
  takeFlag(): string | undefined {
    this.skipSpace();
    const letter = /^-(\S)(?!\S)/.exec(this.line.slice(this.at, this.at + 3))?.[1];
    if (letter !== undefined) this.at += 2;
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
    while (/\S/.test(this.line[this.at] ?? '')) this.at++;
    return this.line.slice(start, this.at);
  }

  private quoted(): string {
    let text = '';
    for (this.at++; this.at < this.line.length; this.at++) {
      const char = this.line[this.at]!; // before the end
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
  const { name, alias, parameters = [] } = command;
  // As QEMU's tables have it: commands of `info` by their own name, others with all their names.
  const called = name.replace(/^info /, '') + (alias === undefined ? '' : `|${alias}`);
  const args: Record<string, string | number | boolean | undefined> = {};
  try {
    for (const [i, parameter] of parameters.entries()) {
      if (parameter.kind !== 'flag') args[parameter.name] = readParameter(called, parameter, words);
      else if (parameters[i - 1]?.kind !== 'flag') takeFlags(called, parameters, words, args);
    }
    if (!words.isAtEnd) throw new LineError(`${called}: ${trailing}`);
  } catch (error) {
    if (!(error instanceof LineError)) throw error;
    throw new LineError(`${error.message}\nTry "help ${name}" for more information`);
  }
  return args;
}

const trailing = 'extraneous characters at the end of line';

function takeFlags(
  command: string,
  parameters: readonly Parameter[],
  words: Words,
  args: Record<string, unknown>,
): void {
  for (let letter = words.takeFlag(); letter !== undefined; letter = words.takeFlag()) {
    const flag = parameters.find((parameter) => parameter.letter === letter);
    if (!flag) throw new LineError(`${command}: unsupported option -${letter}`);
    args[flag.name] = true;
  }
}

const expected: Readonly<Partial<Record<Parameter['kind'], string>>> = {
  device: 'block device name',
  filename: 'filename',
};

function readParameter(
  command: string,
  parameter: Parameter,
  words: Words,
): string | number | boolean | undefined {
  const { kind, optional } = parameter;
  if (kind === 'rest') {
    if (words.isAtEnd) throw new LineError(`${command}: string expected`);
    return words.rest();
  }
  const text = words.next();
  if (text === undefined && optional) return undefined;
  if (kind === 'int') return readInteger(text);
  if (kind === 'switch') return readSwitch(text);
  if (kind === 'size') return readSize(command, text);
  if (text === undefined) throw new LineError(`${command}: ${expected[kind] ?? 'string'} expected`);
  return text;
}

function readSwitch(text: string | undefined): boolean {
  if (text !== 'on' && text !== 'off') throw new LineError("Expected 'on' or 'off'");
  return text === 'on';
}

function readInteger(text: string | undefined): number {
  if (text === undefined) throw new LineError('unexpected end of expression');
  if (!/^[+-]?(\d+|0x[\da-f]+)$/i.test(text)) throw new LineError(`invalid char '${text[0]}' in expression`);
  return Number(text);
}

function readSize(command: string, text = ''): number {
  const isPlain = /^\d+$/.test(text);
  const parsed = parseSize(isPlain ? `${Number(text) * mebibyte}` : text);
  if (parsed.ok) return parsed.value;
  throw new LineError(/^\d/.test(text) ? `${command}: ${trailing}` : 'invalid size');
}
