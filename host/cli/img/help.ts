/**
 * `img --help`, the help of each command, and `--version`. What an option does is said once, in the texts of the manual page: it is
 * listed here for each option that the command's own table has.
 */
import { versionText } from '../../qmp/version.ts';
import { imageOptionTexts, optionTexts } from '../manual/option-texts.ts';
import { fromSpecs, helpText } from '../manual/options.ts';
import type { OptionSpec } from '../shared/getopt.ts';
import type { Tool } from '../shared/tool.ts';
import { commands, type ImgCommand } from './commands.ts';

export function printVersion(tool: Tool): void {
  tool.out(`${tool.name.replace(/ /g, '-')} version ${versionText}\n`);
}

export async function printHelp(tool: Tool, standardOptions: readonly OptionSpec[]): Promise<void> {
  const { drivers } = await import('../../drivers.ts');
  const formats = drivers.map(({ name }) => name).sort();
  printVersion(tool);
  tool.out(`usage: ${tool.name} [STANDARD OPTIONS] COMMAND [--help | OPTIONS]

Makes, inspects, checks, converts and compares disk images.

Standard options:
${helpText(fromSpecs(standardOptions, optionTexts.img))}
Commands ('${tool.name} COMMAND --help' tells of one):
${commands.map(({ name, help }) => `  ${name.padEnd(10)}${help}\n`).join('')}
Formats, protocols and filters:
  ${formats.join(' ')}
`);
}

/** The help of one command: how it is called, and what each of its options and operands does. */
export async function printCommandHelp(tool: Tool, command: ImgCommand): Promise<void> {
  const { name, synopsis, help, operands = [] } = command;
  const { specs } = await command.load();
  const items = [
    ...fromSpecs(specs, imageOptionTexts(name)),
    ...operands.map(([operand, text]) => ({ spellings: [operand], help: text })),
  ];
  tool.out(`usage: ${tool.name} ${name} ${synopsis}\n\n${help}\n\n${helpText(items)}`);
}
