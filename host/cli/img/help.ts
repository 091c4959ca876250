/** `img --help`, that of each command, and `--version`. */
import { versionText } from '../../qmp/version.ts';
import { imageOptionTexts, optionTexts } from '../manual/option-texts.ts';
import { fromSpecs, helpText } from '../manual/options.ts';
import type { Tool } from '../shared/tool.ts';
import { commands, type ImgCommand } from './commands.ts';
import { helpSpec, isOurs, standardOptions, traceSpec } from './options.ts';

export function printVersion(tool: Tool): void {
  tool.out(`${tool.name.replace(/ /g, '-')} version ${versionText}\n`);
}

export async function printHelp(tool: Tool): Promise<void> {
  const { drivers } = await import('../../drivers.ts');
  const formats = drivers.map(({ name }) => name).sort();
  printVersion(tool);
  tool.out(
    [
      `usage: ${tool.name} [standard options] command [command options]`,
      'Makes, inspects, checks, converts and compares disk images',
      '',
      helpText(fromSpecs(standardOptions, optionTexts.img)),
      'Command syntax:',
      ...commands.map(({ name, synopsis }) => `  ${name} ${synopsis}`),
      '',
      'Command parameters:',
      ...Object.entries(operands).map(([name, help]) => `  ${name.padEnd(10)} ${help}`),
      `What the options of a command do: ${tool.name} COMMAND --help`,
      '',
      `Supported formats: ${formats.join(' ')}`,
      '',
    ].join('\n'),
  );
}

/** The words of the synopses that are no options. */
const operands: Readonly<Record<string, string>> = {
  filename: 'a disk image; with --image-opts an option string: driver=qcow2,file.filename=F',
  fmt: 'the image format; guessed from the content when not given',
  cache: 'none, writeback (default), writethrough, directsync, unsafe (default of convert)',
  size: 'bytes; suffixes k, M, G, T, P and E are powers of 1024',
  options: "name=value,...; '-o help' lists those of a format",
};

/** The help of one command: what its synopsis has. */
export async function printCommandHelp(
  tool: Tool,
  { name, synopsis, help, load }: ImgCommand,
): Promise<void> {
  const { specs } = await load();
  const options = fromSpecs(
    isOurs(tool) ? [helpSpec, traceSpec, ...specs] : [helpSpec, ...specs],
    imageOptionTexts(name),
  );
  tool.out(`usage: ${tool.name} ${name} ${synopsis}\n\n${help}\n\n${helpText(options)}`);
}
