/** What `--help` and a mistake on the command line of `io` print. */
import { optionTexts } from '../manual/option-texts.ts';
import { fromSpecs, helpText } from '../manual/options.ts';
import type { OptionSpec } from '../shared/getopt.ts';

export function usage(name: string, specs: readonly OptionSpec[]): string {
  return `Usage: ${name} [OPTIONS]... [-c STRING]... [file]
Reads and writes a disk image by commands

${helpText(fromSpecs(specs, optionTexts.io))}
See '${name} -c help' for information on available commands.
`;
}
