/** The completion script of fish, which shows what each word is for. */

import type { Option } from '../manual/options.ts';
import { helpCommand, ownOptions, shells } from './places.ts';
import type { CommandWords } from './words.ts';

const program = 'blockyard';

export function fish(words: readonly CommandWords[]): string {
  const start = '__fish_use_subcommand';
  const asked = `${seen('help')}; and not ${seen(...words.map(({ name }) => name))}`;
  const lines = [
    '# Completes what blockyard is told. In fish: blockyard completion fish | source',
    fishName(program, start, helpCommand),
    ...words.map((command) => fishName(program, start, command)),
    ...words.map((command) => fishName(program, asked, command)),
    ...ownOptions.map((option) => fishOption(program, start, option)),
    ...words.flatMap((command) => fishCommand(program, seen(command.name), command)),
    ...shells.map((shell) => fishName(program, seen('completion'), shell)),
    ...words.flatMap(fishLinks),
  ];
  return `${lines.join('\n')}\n`;
}

function seen(...names: readonly string[]): string {
  return `__fish_seen_subcommand_from ${names.join(' ')}`;
}

/** Names that are this command, where they are links to this program. */
function fishLinks(command: CommandWords): string[] {
  return command.links.flatMap((link) => [
    `if test (command -s ${link} | string collect) -ef (command -s ${program} | string collect)`,
    ...fishCommand(link, '', command).map((line) => `  ${line}`),
    'end',
  ]);
}

/** `of`: the name of the program; `condition`: that this command is the one, empty: it always is. */
function fishCommand(of: string, condition: string, { options, subcommands }: CommandWords): string[] {
  const both = (...conditions: string[]): string => conditions.filter((one) => one !== '').join('; and ');
  const names = subcommands.map(({ name }) => name);
  const alone = both(condition, names.length === 0 ? '' : `not ${seen(...names)}`);
  return [
    ...options.map((option) => fishOption(of, alone, option)),
    ...subcommands.map((one) => fishName(of, alone, one)),
    ...subcommands.flatMap(({ name, options: own }) =>
      own.map((option) => fishOption(of, both(condition, seen(name)), option)),
    ),
  ];
}

const fishQuoted = (text: string): string => `'${text.replace(/[\\']/g, '\\$&')}'`;
const fishStart = (of: string, condition: string): string =>
  `complete -c ${of}${condition === '' ? '' : ` -n ${fishQuoted(condition)}`}`;

/** Where names can stand, names of files cannot. */
function fishName(of: string, condition: string, { name, help }: { name: string; help: string }): string {
  return `${fishStart(of, condition)} -f -a ${name} -d ${fishQuoted(help)}`;
}

function fishOption(of: string, condition: string, { spellings, argument, help }: Option): string {
  const forms = spellings.map((word) => {
    if (word.startsWith('--')) return `-l ${word.slice(2)}`;
    return word.length === 2 ? `-s ${word.slice(1)}` : `-o ${word.slice(1)}`;
  });
  const rest = argument === undefined ? '' : ' -r';
  return `${fishStart(of, condition)} ${forms.join(' ')}${rest} -d ${fishQuoted(help)}`;
}
