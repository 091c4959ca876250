/**
 * What can follow the name of each command, from the tables by which the commands read their own command lines, and what that does,
 * from the texts of the manual.
 */
import { specs as demoSpecs } from '../demo/main.ts';
import { commands as imageCommands } from '../img/commands.ts';
import { standardOptions } from '../img/main.ts';
import { specs as ioSpecs } from '../io/main.ts';
import { machineTexts, vmTexts } from '../manual/machine-texts.ts';
import { imageOptionTexts, type OptionTexts, optionTexts } from '../manual/option-texts.ts';
import { described, fromSpecs, type Option } from '../manual/options.ts';
import { specs as nbdSpecs } from '../nbd/options.ts';
import type { OptionSpec } from '../shared/getopt.ts';
import { specs as storageDaemonSpecs } from '../storage-daemon/options.ts';
import { machineOptions, type OptionKind, takesArgument } from '../system/options.ts';
import { vmOptions } from '../vm/main.ts';
import { specs as webSpecs } from '../web/options.ts';

export interface CommandWords {
  readonly name: string;
  readonly help: string;
  /** Names of links to the executable that are this command. */
  readonly links: readonly string[];
  readonly options: readonly Option[];
  readonly subcommands: readonly CommandWords[];
}

export interface NamedCommand {
  readonly name: string;
  /** `*` at its end stands for anything. */
  readonly link?: string;
  readonly help: string;
}

const helpSpec: OptionSpec = { short: 'h', long: 'help' };

const optionsOf: Readonly<Record<string, Option[]>> = {
  img: fromSpecs(standardOptions, optionTexts.img),
  io: fromSpecs(ioSpecs, optionTexts.io),
  nbd: fromSpecs(nbdSpecs, optionTexts.nbd),
  'storage-daemon': fromSpecs(storageDaemonSpecs, optionTexts['storage-daemon']),
  web: fromSpecs(webSpecs, optionTexts.web),
  demo: fromSpecs(demoSpecs, optionTexts.demo),
  system: fromTable(machineOptions, machineTexts),
  vm: fromTable({ ...machineOptions, ...vmOptions }, vmTexts),
};

/** `commands`: all that there are. */
export async function allWords(commands: readonly NamedCommand[]): Promise<CommandWords[]> {
  const ofImages = await Promise.all(
    imageCommands.map(async ({ name, help, load }) => {
      const { specs } = await load();
      const options = fromSpecs([helpSpec, ...specs], imageOptionTexts(name));
      return { name, help, links: [], options, subcommands: [] };
    }),
  );
  return commands.map(({ name, link, help }) => ({
    name,
    help,
    links: link === undefined ? [] : [link.replace('*', 'x86_64')],
    options: optionsOf[name] ?? [],
    subcommands: name === 'img' ? ofImages : [],
  }));
}

function fromTable(table: Readonly<Record<string, OptionKind>>, texts: OptionTexts): Option[] {
  return Object.entries(table)
    .filter(([, kind]) => kind !== 'refused')
    .map(([name, kind]) => described([`-${name}`], takesArgument(kind), texts[name]));
}
