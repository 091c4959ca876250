/**
 * What can follow the name of each command, from the tables by which the commands read their own command lines, and what that does,
 * from the texts of the manual.
 */
import { specs as demoSpecs } from '../demo/main.ts';
import { commands as imageCommands } from '../img/commands.ts';
import { standardOptions } from '../img/main.ts';
import { specs as ioSpecs } from '../io/main.ts';
import { machineTexts, vmTexts } from '../manual/machine-texts.ts';
import { imageOptionTexts, type OptionText, type OptionTexts, optionTexts } from '../manual/option-texts.ts';
import type { OptionSpec } from '../shared/getopt.ts';
import { specs as storageDaemonSpecs } from '../storage-daemon/options.ts';
import { machineOptions, type OptionKind } from '../system/options.ts';
import { vmOptions } from '../vm/main.ts';
import { specs as webSpecs } from '../web/options.ts';

export interface Option {
  /** As it is typed: `-q` and `--quiet`; of machines `-hda`. */
  readonly spellings: readonly string[];
  /** What its argument is called. Absent: it takes none. */
  readonly argument?: string;
  /** Empty: the texts have none, and a test fails. */
  readonly help: string;
}

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

function fromSpecs(specs: readonly OptionSpec[], texts: OptionTexts): Option[] {
  return specs.map(({ short, long, argument = false }) => {
    const spellings = [
      ...(short === undefined ? [] : [`-${short}`]),
      ...(long === undefined ? [] : [`--${long}`]),
    ];
    const text = [short, long].map((name) => name !== undefined && texts[name]).find(Boolean);
    return option(spellings, argument, text || undefined);
  });
}

function fromTable(table: Readonly<Record<string, OptionKind>>, texts: OptionTexts): Option[] {
  return Object.entries(table)
    .filter(([, kind]) => kind !== 'refused')
    .map(([name, kind]) => option([`-${name}`], kind === 'add' || kind === 'set', texts[name]));
}

function option(spellings: string[], hasArgument: boolean, text: OptionText | undefined): Option {
  const [argument = 'VALUE', help = ''] = typeof text === 'string' ? [undefined, text] : (text ?? []);
  return { spellings, ...(hasArgument ? { argument } : {}), help };
}
