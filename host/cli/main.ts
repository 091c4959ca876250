/**
 * The program. Which tool it is follows from the name it was started by, as with busybox: `qemu-img`, `qemu-io`,
 * `qemu-nbd`, `qemu-storage-daemon` and `qemu-system-*` are those tools and say so in their messages; under any other name the first argument chooses
 * (`blockyard img …`). Each tool is loaded only when it is the one.
 */
import { basename } from 'node:path';
import { version } from '../../package.json';
import { type Command, commands as tools } from './commands.ts';
import { runProcess } from './shared/internal-error.ts';
import { nearest } from './shared/nearest.ts';
import { processTerminal as terminal } from './shared/terminal.ts';

/** It is about all of them, and so not in their table. */
const completion: Command = {
  name: 'completion',
  help: 'print a script that completes command lines in bash, zsh or fish',
  load: async () => {
    const { main } = await import('./completion/main.ts');
    return { main: (argv, name) => main(argv, name, commands) };
  },
};

const commands: readonly Command[] = [...tools, completion];

function usage(): string {
  const lines = commands.map(({ name, help }) => `  ${name.padEnd(16)}${help}`);
  return [
    'Usage: blockyard COMMAND [ARGUMENTS]',
    '',
    ...lines,
    '',
    "'blockyard help COMMAND' tells more. A link to this program named qemu-img, qemu-io,",
    'qemu-nbd, qemu-storage-daemon or qemu-system-… behaves as that tool.',
    '',
  ].join('\n');
}

/** `*` at the end of a link's name stands for anything. */
function isStartedAs(link: string, name: string): boolean {
  return link.endsWith('*') ? name.startsWith(link.slice(0, -1)) : link === name;
}

/** As messages about the program call it. */
let programName = 'blockyard';

async function start({ load }: Command, argv: string[], name: string): Promise<number> {
  programName = name;
  return (await load()).main(argv, name);
}

async function run(argv: string[], startedAs: string): Promise<number> {
  const linked = commands.find(({ link }) => link !== undefined && isStartedAs(link, startedAs));
  if (linked) return start(linked, argv, startedAs);
  const [command, ...rest] = argv;
  if (command === '--version' || command === '-V') {
    terminal.out(`blockyard ${version}\n`);
    return 0;
  }
  if (command === '--help' || command === '-h' || command === 'help') {
    const [topic, ...words] = rest;
    if (topic === undefined || command !== 'help') {
      terminal.out(usage());
      return 0;
    }
    const about = commands.find(({ name }) => name === topic);
    return about ? start(about, helpWords(about, words), `blockyard ${about.name}`) : unknownCommand(topic);
  }
  const chosen = commands.find(({ name }) => name === command);
  if (chosen) return start(chosen, rest, `blockyard ${chosen.name}`);
  if (command !== undefined) return unknownCommand(command);
  terminal.error(usage());
  return 1;
}

/** What asks a command for its help; of its subcommands, if it has any, for that of one. */
function helpWords({ name }: Command, words: readonly string[]): string[] {
  return name === 'img' ? ['help', ...words] : ['--help'];
}

function unknownCommand(word: string): number {
  const near = nearest(
    word,
    commands.map(({ name }) => name),
  );
  const hint =
    near === undefined ? usage() : `Did you mean '${near}'? 'blockyard help' lists all commands.\n`;
  terminal.error(`blockyard: Command not found: ${word}\n${hint}`);
  return 1;
}

runProcess(
  () => programName,
  () => run(process.argv.slice(2), basename(process.argv[1] ?? 'blockyard')),
);
