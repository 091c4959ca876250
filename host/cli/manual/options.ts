/** Options as people are told of them: how each is typed, what its argument is called, and what it does. */
import type { OptionSpec } from '../shared/getopt.ts';
import type { OptionText, OptionTexts } from './option-texts.ts';

export interface Option {
  /** As it is typed: `-q` and `--quiet`; of machines `-hda`. */
  readonly spellings: readonly string[];
  /** What its argument is called. Absent: it takes none. */
  readonly argument?: string;
  /** Empty: the texts have none, and a test fails. */
  readonly help: string;
}

export function fromSpecs(specs: readonly OptionSpec[], texts: OptionTexts): Option[] {
  return specs.map(({ short, long, argument = false }) => {
    const spellings = [
      ...(short === undefined ? [] : [`-${short}`]),
      ...(long === undefined ? [] : [`--${long}`]),
    ];
    return described(spellings, argument, texts[short ?? ''] ?? texts[long ?? '']);
  });
}

export function described(spellings: string[], hasArgument: boolean, text: OptionText | undefined): Option {
  const [argument = 'VALUE', help = ''] = typeof text === 'string' ? [undefined, text] : (text ?? []);
  return { spellings, ...(hasArgument ? { argument } : {}), help };
}

const nameColumns = 20;
const helpColumns = 76;

/** As `--help` lists them: names in a column, what they do beside them, or below those that are too long. */
export function helpText(options: readonly Option[]): string {
  const indent = ' '.repeat(nameColumns + 2);
  const lines = options.flatMap(({ spellings, argument, help }) => {
    const name = `${spellings.join(', ')}${argument === undefined ? '' : ` ${argument}`}`;
    const [first = '', ...rest] = wrapped(help);
    const others = rest.map((line) => indent + line);
    if (name.length >= nameColumns) return [`  ${name}`, indent + first, ...others];
    return [`  ${name.padEnd(nameColumns)}${first}`, ...others];
  });
  return `${lines.join('\n')}\n`;
}

function wrapped(text: string): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > helpColumns) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}
