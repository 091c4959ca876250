/** `blockyard img`, and `qemu-img` when started by that name: finds the subcommand and runs it. */
import { ExitStatus } from '../shared/exit-status.ts';
import { OptionReader, UsageError } from '../shared/getopt.ts';
import { nearest } from '../shared/nearest.ts';
import { runTool, type Terminal, Tool } from '../shared/tool.ts';
import { commands } from './commands.ts';
import { HelpWanted } from './options.ts';

export function main(argv: string[], programName: string, terminal?: Terminal): Promise<number> {
  const tool = new Tool(programName, terminal);
  return runTool(tool, () => dispatch(tool, argv));
}

async function dispatch(tool: Tool, argv: string[]): Promise<number> {
  const [first] = argv;
  if (first === undefined) tool.failUsage('Not enough arguments');
  const [name, ...rest] = first.startsWith('-') ? await takeStandardOptions(tool, argv) : argv;
  if (name === undefined) return 0;
  if (name === 'help' && isOurs(tool)) return helpAbout(tool, rest);
  const command = commands.find((candidate) => candidate.name === name);
  if (!command) return unknownCommand(tool, name);
  const { run } = await command.load();
  try {
    return await run(tool, rest);
  } catch (error) {
    if (!(error instanceof HelpWanted)) throw error;
  }
  const { printHelp } = await import('./help.ts');
  await printHelp(tool);
  return 0;
}

/** Under the name of QEMU's tool it says what that says, and no more. */
function isOurs({ name }: Tool): boolean {
  return name.startsWith('blockyard ');
}

async function helpAbout(tool: Tool, [topic]: readonly string[]): Promise<number> {
  const { printCommandHelp, printHelp } = await import('./help.ts');
  const command = commands.find(({ name }) => name === topic);
  if (command) printCommandHelp(tool, command);
  else if (topic === undefined) await printHelp(tool);
  else unknownCommand(tool, topic);
  return 0;
}

function unknownCommand(tool: Tool, word: string): never {
  const near = isOurs(tool)
    ? nearest(
        word,
        commands.map(({ name }) => name),
      )
    : undefined;
  tool.failUsage(`Command not found: ${word}${near === undefined ? '' : `. Did you mean '${near}'?`}`);
}

/** In front of the subcommand. */
export const standardOptions = [
  { short: 'h', long: 'help' },
  { short: 'V', long: 'version' },
  { short: 'T', long: 'trace', argument: true },
];

/** Options before the subcommand; gives it and what follows. Without a subcommand they are all there is to do. */
async function takeStandardOptions(tool: Tool, argv: string[]): Promise<readonly string[]> {
  const reader = new OptionReader(argv, standardOptions, { stopsAtOperand: true });
  try {
    for (const { name, value } of reader.options()) {
      if (name === 'trace') {
        (await tool.trace()).take(value);
        continue;
      }
      const help = await import('./help.ts');
      if (name === 'help') await help.printHelp(tool);
      else help.printVersion(tool);
      throw new ExitStatus(0);
    }
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    if (error.problem === 'missing-argument') tool.failUsage(`missing argument for option '${error.word}'`);
    tool.failUsage(`unrecognized option '${error.word}'`);
  }
  (await tool.trace()).begin();
  return reader.operands;
}
