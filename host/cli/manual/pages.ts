/**
 * The manual pages: what each command is, and all its options, from the tables by which the commands read their command lines. The
 * build writes them (host/build/manual.mjs); nothing that runs needs them.
 */
import { version } from '../../../package.json';
import { commands } from '../commands.ts';
import { allWords, type CommandWords } from '../completion/words.ts';
import { commands as imageCommands } from '../img/commands.ts';
import { commands as ioCommands } from '../io/commands.ts';
import { internalStatus, overview, type Prose, prose, statuses } from './prose.ts';
import {
  example,
  item,
  optionItem,
  paragraphs,
  plain,
  section,
  sentence,
  subsection,
  title,
} from './roff.ts';

/** By the names of their files. `date`: that of the build, `YYYY-MM-DD`. */
export async function manualPages(date: string): Promise<Map<string, string>> {
  const words = await allWords(commands);
  const names = ['blockyard', ...words.map(pageName)];
  const whole = (name: string, help: string, parts: readonly string[]): [string, string] => {
    const others = names.filter((other) => other !== name).map((other) => `${other}(1)`);
    const page = [
      title(name, { date, version }),
      section('Name'),
      `${plain(name)} \\- ${plain(help)}`,
      ...parts,
      section('See also'),
      plain(others.join(', ')),
    ];
    return [`${name}.1`, `${page.join('\n')}\n`];
  };
  return new Map([
    whole('blockyard', 'the block layer of an emulator', overviewParts(words)),
    ...words.map((command) => whole(pageName(command), command.help, commandParts(command))),
  ]);
}

const pageName = ({ name }: CommandWords): string => `blockyard-${name}`;

function overviewParts(words: readonly CommandWords[]): string[] {
  return [
    section('Synopsis'),
    ...synopsis('COMMAND [ARGUMENT …]'),
    section('Description'),
    paragraphs(overview.description),
    section('Commands'),
    ...words.map((command) => item(command.name, `${sentence(command.help)} See ${pageName(command)}(1).`)),
    item('help [COMMAND [COMMAND OF IMG]]', 'Tells about a command.'),
    item(
      'completion bash|zsh|fish',
      'Prints a script that completes command lines; in bash: source <(blockyard completion bash)',
    ),
    section('Options'),
    item('--help', 'Show the commands, and exit.'),
    item('--version', 'Show the version, and exit.'),
    ...exitStatus([]),
    section('Environment'),
    ...overview.environment.map(([name, text]) => item(name, text)),
  ];
}

function commandParts({ name, options, subcommands }: CommandWords): string[] {
  const { synopsis: usage, description, examples, statuses: own = [] } = proseOf(name);
  return [
    section('Synopsis'),
    ...synopsis(usage),
    section('Description'),
    paragraphs(description),
    section(subcommands.length === 0 ? 'Options' : 'Standard options'),
    ...options.map(optionItem),
    ...(subcommands.length === 0 ? [] : [section('Commands'), ...subcommands.flatMap(subcommandParts)]),
    ...(name === 'io' ? ioParts() : []),
    ...exitStatus(own),
    section('Examples'),
    example(examples),
  ];
}

function proseOf(name: string): Prose {
  const found = prose[name];
  if (!found) throw new Error(`The manual page of '${name}' has no text: host/cli/manual/prose.ts`);
  return found;
}

function synopsis(usage: string): string[] {
  return ['.B blockyard', plain(usage)];
}

function subcommandParts({ name, help, options }: CommandWords): string[] {
  const { synopsis: usage = '', operands = [] } =
    imageCommands.find((command) => command.name === name) ?? {};
  return [
    subsection(name),
    paragraphs([sentence(help), `${name} ${usage}`]),
    ...options.map(optionItem),
    ...operands.map(([operand, text]) => item(operand, sentence(text))),
  ];
}

/** What the prompt of `io` takes. */
function ioParts(): string[] {
  return [
    section('Commands'),
    plain("'help COMMAND' at the prompt tells more of one."),
    ...ioCommands.map(({ name, alias, synopsis: usage, help }) =>
      item(`${name}${alias === undefined ? '' : `, ${alias}`} ${usage}`.trimEnd(), sentence(help)),
    ),
  ];
}

function exitStatus(own: readonly (readonly [string, string])[]): string[] {
  return [
    section('Exit status'),
    ...[...new Map([...statuses, ...own, internalStatus])].map(([status, meaning]) => item(status, meaning)),
  ];
}
