/**
 * What can follow the name of each command, from the tables by which the commands read their own command lines, and what that does,
 * from the texts of the manual.
 */
import { commands as backupCommands } from '../backup/commands.ts';
import { specs as demoSpecs } from '../demo/main.ts';
import { commands as imageCommands } from '../img/commands.ts';
import { helpSpec, standardOptions, traceSpec } from '../img/options.ts';
import { specs as ioSpecs } from '../io/main.ts';
import { fromTable } from '../manual/machine-options.ts';
import { machineTexts, vmTexts } from '../manual/machine-texts.ts';
import { imageOptionTexts, type OptionTexts, optionTexts } from '../manual/option-texts.ts';
import { fromSpecs, type Option } from '../manual/options.ts';
import { specs as nbdSpecs } from '../nbd/options.ts';
import type { OptionSpec } from '../shared/getopt.ts';
import { specs as storageDaemonSpecs } from '../storage-daemon/options.ts';
import { machineOptions } from '../system/options.ts';
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

const optionsOf: Readonly<Record<string, Option[]>> = {
  img: fromSpecs(standardOptions, optionTexts.img),
  io: fromSpecs(ioSpecs, optionTexts.io),
  nbd: fromSpecs(nbdSpecs, optionTexts.nbd),
  'storage-daemon': fromSpecs(storageDaemonSpecs, optionTexts['storage-daemon']),
  web: fromSpecs(webSpecs, optionTexts.web),
  backup: fromSpecs([helpSpec], optionTexts.backup),
  demo: fromSpecs(demoSpecs, optionTexts.demo),
  system: fromTable(machineOptions, machineTexts),
  vm: fromTable({ ...machineOptions, ...vmOptions }, vmTexts),
};

/** `commands`: all that there are. */
export async function allWords(commands: readonly NamedCommand[]): Promise<CommandWords[]> {
  const subcommands: Readonly<Record<string, readonly CommandWords[]>> = {
    img: await Promise.all(imageCommands.map((command) => wordsOf(command, imageOptionTexts(command.name)))),
    backup: await Promise.all(backupCommands.map((command) => wordsOf(command, optionTexts.backup))),
  };
  return commands.map(({ name, link, help }) => ({
    name,
    help,
    links: link === undefined ? [] : [link.replace('*', 'x86_64')],
    options: optionsOf[name] ?? [],
    subcommands: subcommands[name] ?? [],
  }));
}

interface Subcommand {
  readonly name: string;
  readonly help: string;
  load(): Promise<{ readonly specs: readonly OptionSpec[] }>;
}

async function wordsOf({ name, help, load }: Subcommand, texts: OptionTexts): Promise<CommandWords> {
  const { specs } = await load();
  return {
    name,
    help,
    links: [],
    options: fromSpecs([helpSpec, traceSpec, ...specs], texts),
    subcommands: [],
  };
}
