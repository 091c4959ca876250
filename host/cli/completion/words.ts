/** What can follow the name of each command, from the tables by which the commands read their own command lines. */
import { specs as demoSpecs } from '../demo/main.ts';
import { commands as imageCommands } from '../img/commands.ts';
import { standardOptions } from '../img/main.ts';
import { specs as ioSpecs } from '../io/main.ts';
import type { OptionSpec } from '../shared/getopt.ts';
import { specs as storageDaemonSpecs } from '../storage-daemon/options.ts';
import { machineOptions, type OptionKind } from '../system/options.ts';
import { vmOptions } from '../vm/main.ts';
import { specs as webSpecs } from '../web/options.ts';

/** `-x`, `--long` or, as machines have them, `-long`. */
export interface Option {
  readonly form: 'short' | 'long' | 'single-dash';
  readonly name: string;
  readonly hasArgument: boolean;
}

export interface CommandWords {
  readonly name: string;
  readonly help: string;
  readonly options: readonly Option[];
  readonly subcommands: readonly CommandWords[];
}

export interface NamedCommand {
  readonly name: string;
  readonly help: string;
}

const helpSpec: OptionSpec = { short: 'h', long: 'help' };

const specsOf: Readonly<Record<string, readonly OptionSpec[]>> = {
  img: standardOptions,
  io: ioSpecs,
  'storage-daemon': storageDaemonSpecs,
  web: webSpecs,
  demo: demoSpecs,
};

const machineOptionsOf: Readonly<Record<string, Readonly<Record<string, OptionKind>>>> = {
  system: machineOptions,
  vm: { ...machineOptions, ...vmOptions },
};

/** `commands`: all that there are. */
export async function allWords(commands: readonly NamedCommand[]): Promise<CommandWords[]> {
  const ofImages = await Promise.all(
    imageCommands.map(async ({ name, help, load }) => {
      const { specs } = await load();
      return { name, help, options: fromSpecs([helpSpec, ...specs]), subcommands: [] };
    }),
  );
  return commands.map(({ name, help }) => {
    const table = machineOptionsOf[name];
    const options = table === undefined ? fromSpecs(specsOf[name] ?? []) : fromTable(table);
    return { name, help, options, subcommands: name === 'img' ? ofImages : [] };
  });
}

function fromSpecs(specs: readonly OptionSpec[]): Option[] {
  return specs.flatMap(({ short, long, argument = false }) => [
    ...(short === undefined ? [] : [{ form: 'short', name: short, hasArgument: argument } as const]),
    ...(long === undefined ? [] : [{ form: 'long', name: long, hasArgument: argument } as const]),
  ]);
}

function fromTable(table: Readonly<Record<string, OptionKind>>): Option[] {
  return Object.entries(table)
    .filter(([, kind]) => kind !== 'refused')
    .map(([name, kind]) => ({
      form: 'single-dash',
      name,
      hasArgument: kind === 'add' || kind === 'set',
    }));
}
