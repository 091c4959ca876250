/**
 * getopt_long as QEMU's tools use it: options and operands in any order, `--` ends the options, short options may be
 * grouped and carry their argument (`-qfraw`), long ones may be abbreviated as long as they stay unique.
 *
 * `node:util` parseArgs is no base for this: it knows neither abbreviations nor which word was wrong, and takes a word
 * after an unknown option for an operand. Options come out one by one, so that a tool complains about the first
 * mistake on the line, whoever finds it.
 */

export interface OptionSpec {
  /** One character. */
  short?: string;
  long?: string;
  argument?: boolean;
}

export interface ParsedOption {
  /** The long name where there is one, else the short one. */
  name: string;
  /** Empty for an option without argument. */
  value: string;
  /** How it was named: `-T`, `--trace`. */
  spelling: string;
}

type UsageProblem = 'unrecognized' | 'missing-argument' | 'ambiguous' | 'unexpected-argument';

/** What is wrong with a command line; each tool has its own words for it. */
export class UsageError extends Error {
  override readonly name = 'UsageError';

  constructor(
    readonly problem: UsageProblem,
    /** The whole word as typed. */
    readonly word: string,
    /** The option character, or the long option with its dashes. */
    readonly option: string,
    readonly possibilities: readonly string[] = [],
  ) {
    super(`${problem}: ${word}`);
  }
}

export interface ReaderSettings {
  /** Options end at the first operand: what follows is somebody else's. */
  stopsAtOperand?: true;
  /** Right behind the first operand a minus with a digit begins a number, and no option. */
  negativeSecondOperand?: true;
}

export class OptionReader {
  /** Complete when all options have been read. */
  readonly operands: string[] = [];
  /** Where the last operand stood. */
  private lastOperand: number | undefined;

  constructor(
    private readonly words: readonly string[],
    private readonly specs: readonly OptionSpec[],
    private readonly settings: ReaderSettings = {},
  ) {}

  /** Throws UsageError at the first word that fits no option. */
  *options(): Generator<ParsedOption, void> {
    const { words } = this;
    for (let at = 0; at < words.length; at++) {
      const word = words[at]!; // at < words.length
      if (word === '--') {
        this.operands.push(...words.slice(at + 1));
        return;
      }
      if (word.startsWith('--')) {
        const spec = this.findLong(word);
        const inline = word.includes('=') ? word.slice(word.indexOf('=') + 1) : undefined;
        if (!spec.argument) {
          if (inline !== undefined) throw new UsageError('unexpected-argument', word, `--${spec.long}`);
          yield named(spec, '', 'long');
        } else if (inline !== undefined) {
          yield named(spec, inline, 'long');
        } else {
          const next = words[++at];
          if (next === undefined) throw new UsageError('missing-argument', word, `--${spec.long}`);
          yield named(spec, next, 'long');
        }
      } else if (this.settings.negativeSecondOperand && /^-\d/.test(word) && this.isSecondOperand(at)) {
        this.operands.push(word);
      } else if (word.startsWith('-') && word.length > 1) {
        if (yield* this.group(word, words[at + 1])) at++;
      } else {
        this.operands.push(...(this.settings.stopsAtOperand ? words.slice(at) : [word]));
        this.lastOperand = at;
        if (this.settings.stopsAtOperand) return;
      }
    }
  }

  /** The word before is the first operand, and not the argument of an option. */
  private isSecondOperand(at: number): boolean {
    return this.operands.length === 1 && this.lastOperand === at - 1;
  }

  /** The options of one word; true when the last one took the next word as its argument. */
  private *group(word: string, next: string | undefined): Generator<ParsedOption, boolean> {
    for (let at = 1; at < word.length; at++) {
      const letter = word[at]!; // at < word.length
      const spec = this.specs.find((candidate) => candidate.short === letter);
      if (!spec) throw new UsageError('unrecognized', word, letter);
      if (!spec.argument) {
        yield named(spec, '', 'short');
        continue;
      }
      if (at + 1 < word.length) {
        yield named(spec, word.slice(at + 1), 'short');
        return false;
      }
      if (next === undefined) throw new UsageError('missing-argument', word, letter);
      yield named(spec, next, 'short');
      return true;
    }
    return false;
  }

  private findLong(word: string): OptionSpec {
    const [typed = ''] = word.slice(2).split('=', 1);
    const exact = this.specs.find(({ long }) => long === typed);
    if (exact) return exact;
    const matches = this.specs.filter(({ long }) => long?.startsWith(typed));
    const [match] = matches;
    if (match && matches.length === 1) return match;
    if (!match) throw new UsageError('unrecognized', word, word);
    throw new UsageError(
      'ambiguous',
      word,
      word,
      matches.map(({ long }) => `--${long}`),
    );
  }
}

function named({ long, short }: OptionSpec, value: string, form: 'long' | 'short'): ParsedOption {
  const name = long ?? short!; // an option has one of them
  return { name, value, spelling: form === 'long' ? `--${name}` : `-${short}` };
}

/** glibc's words for a usage error, as qemu-io prints them. */
export function describeUsageError({ problem, word, option, possibilities }: UsageError): string {
  const isLong = option.startsWith('--');
  switch (problem) {
    case 'unrecognized':
      return isLong ? `unrecognized option '${word}'` : `invalid option -- '${option}'`;
    case 'missing-argument':
      return isLong
        ? `option '${option}' requires an argument`
        : `option requires an argument -- '${option}'`;
    case 'unexpected-argument':
      return `option '${option}' doesn't allow an argument`;
    case 'ambiguous':
      return `option '${word}' is ambiguous; possibilities: ${possibilities.map((name) => `'${name}'`).join(' ')}`;
  }
}
