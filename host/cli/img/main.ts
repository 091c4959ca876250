/** `blockyard img`, and `qemu-img` when started by that name: finds the subcommand and runs it. */
import { OptionReader, UsageError } from '../shared/getopt.ts';
import { runTool, type Terminal, Tool } from '../shared/tool.ts';
import { commands } from './commands.ts';
import { HelpWanted } from './options.ts';

export function main(argv: string[], programName: string, terminal?: Terminal): Promise<number> {
  const tool = new Tool(programName, terminal);
  return runTool(tool, () => dispatch(tool, argv));
}

async function dispatch(tool: Tool, argv: string[]): Promise<number> {
  const [name, ...rest] = argv;
  if (name === undefined) tool.failUsage('Not enough arguments');
  if (name.startsWith('-')) return standardOption(tool, argv);
  const command = commands.find((candidate) => candidate.name === name);
  if (!command) tool.failUsage(`Command not found: ${name}`);
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

/** Options before the subcommand. */
async function standardOption(tool: Tool, argv: string[]): Promise<number> {
  const specs = [
    { short: 'h', long: 'help' },
    { short: 'V', long: 'version' },
  ];
  try {
    for (const { name } of new OptionReader(argv, specs).options()) {
      const help = await import('./help.ts');
      if (name === 'help') await help.printHelp(tool);
      else help.printVersion(tool);
      return 0;
    }
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    tool.failUsage(`unrecognized option '${error.word}'`);
  }
  return tool.failUsage('Not enough arguments');
}
