/** `blockyard img`, and `qemu-img` when started by that name: finds the subcommand and runs it. */
import { ExitStatus } from '../shared/exit-status.ts';
import { describeUsageError, OptionReader, UsageError } from '../shared/getopt.ts';
import { didYouMean } from '../shared/nearest.ts';
import { runTool, type Terminal, Tool } from '../shared/tool.ts';
import { commands } from './commands.ts';
import { HelpWanted, isOurs, standardOptions } from './options.ts';

export function main(argv: string[], programName: string, terminal?: Terminal): Promise<number> {
  const tool = new Tool(programName, terminal);
  return runTool(tool, () => dispatch(tool, argv));
}

async function dispatch(tool: Tool, argv: string[]): Promise<number> {
  const [first] = argv;
  const [name, ...rest] = first?.startsWith('-') ? await takeStandardOptions(tool, argv) : argv;
  if (name === undefined) tool.failUsage('Not enough arguments');
  if (name === 'help' && isOurs(tool)) return helpAbout(tool, rest);
  const command = commands.find((candidate) => candidate.name === name);
  if (!command) return unknownCommand(tool, name);
  const { run } = await command.load();
  tool.command = command.name;
  try {
    return await run(tool, rest);
  } catch (error) {
    if (!(error instanceof HelpWanted)) throw error;
  }
  const { printCommandHelp } = await import('./help.ts');
  await printCommandHelp(tool, command);
  return 0;
}

async function helpAbout(tool: Tool, [topic]: readonly string[]): Promise<number> {
  const { printCommandHelp, printHelp } = await import('./help.ts');
  const command = commands.find(({ name }) => name === topic);
  if (command) await printCommandHelp(tool, command);
  else if (topic === undefined) await printHelp(tool);
  else unknownCommand(tool, topic);
  return 0;
}

function unknownCommand(tool: Tool, word: string): never {
  const names = commands.map(({ name }) => name);
  tool.failUsage(`Command not found: ${word}${isOurs(tool) ? didYouMean(word, names) : ''}`);
}

/** Options before the subcommand; gives it and what follows. */
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
    tool.failOption(describeUsageError(error));
  }
  (await tool.trace()).begin();
  return reader.operands;
}
