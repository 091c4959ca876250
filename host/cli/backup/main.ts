/** `blockyard backup`: finds the subcommand and runs it. */

import { HelpWanted, helpSpec, traceSpec } from '../img/options.ts';
import { optionTexts } from '../manual/option-texts.ts';
import { fromSpecs, helpText } from '../manual/options.ts';
import { didYouMean } from '../shared/nearest.ts';
import { runTool, type Terminal, Tool } from '../shared/tool.ts';
import { type BackupCommand, commands } from './commands.ts';

export function main(argv: string[], programName: string, terminal?: Terminal): Promise<number> {
  const tool = new Tool(programName, terminal);
  return runTool(tool, () => dispatch(tool, argv));
}

async function dispatch(tool: Tool, [name, ...rest]: string[]): Promise<number> {
  if (name === undefined) tool.failUsage('Not enough arguments');
  if (['-h', '--help', 'help'].includes(name)) return printHelp(tool);
  const command = commands.find((candidate) => candidate.name === name);
  if (!command) {
    const names = commands.map((candidate) => candidate.name);
    tool.failUsage(`Command not found: ${name}${didYouMean(name, names)}`);
  }
  const { run } = await command.load();
  tool.command = command.name;
  try {
    return await run(tool, rest);
  } catch (error) {
    if (!(error instanceof HelpWanted)) throw error;
    return printCommandHelp(tool, command);
  }
}

function printHelp(tool: Tool): number {
  tool.out(`usage: ${tool.name} COMMAND [--help | OPTIONS]

Backs up disks to a repository, which restic reads and writes, too.

Commands ('${tool.name} COMMAND --help' tells of one):
${commands.map(({ name, help }) => `  ${name.padEnd(11)}${help}\n`).join('')}`);
  return 0;
}

async function printCommandHelp(tool: Tool, { name, synopsis, help, load }: BackupCommand): Promise<number> {
  const { specs } = await load();
  const items = fromSpecs([helpSpec, ...specs, traceSpec], optionTexts.backup);
  tool.out(`usage: ${tool.name} ${name} ${synopsis}\n\n${help}\n\n${helpText(items)}`);
  return 0;
}
