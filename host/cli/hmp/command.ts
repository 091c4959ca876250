/**
 * What a command of the human monitor is (specification: qmp-protocol, section 8): its parameters, as QEMU's help knows
 * them, and what it does, mostly by way of QMP commands. What it returns is shown; a BlockError is shown as `Error: …`.
 */
import { assert } from '../../base/assert.ts';
import { checkStrict } from '../../qapi/strict.ts';
import type { CommandContext } from '../../qmp/command.ts';

type ParameterKind =
  /** A word; quotes keep one together. */
  | 'string'
  /** A word that names a disk. */
  | 'device'
  /** A word that names a file. */
  | 'filename'
  /** An integer. */
  | 'int'
  /** Bytes, with a suffix; mebibytes without one. */
  | 'size'
  /** `on` or `off`. */
  | 'switch'
  /** `-x`, anywhere among the parameters before it. */
  | 'flag'
  /** All that is left of the line. */
  | 'rest';

export interface Parameter {
  readonly name: string;
  readonly kind: ParameterKind;
  readonly optional?: boolean;
  /** Of a flag. */
  readonly letter?: string;
}

export type Arguments = Readonly<Record<string, string | number | boolean | undefined>>;

export interface HmpCommand {
  /** `info block` for those that `info` shows. */
  readonly name: string;
  readonly alias?: string;
  readonly parameters?: readonly Parameter[];
  readonly help: string;
  /** Lines end with LF; empty when there is nothing to say. */
  run(context: CommandContext, args: Arguments): Promise<string> | string;
}

/** Runs a QMP command. Members that are undefined are left out. Errors: those of the command. */
export async function qmp(context: CommandContext, name: string, args: object = {}): Promise<unknown> {
  const command = context.commands.find(name);
  assert(command, `command ${name} is not registered`);
  const given = Object.fromEntries(Object.entries(args).filter(([, value]) => value !== undefined));
  return command.run(context, checkStrict(command.args, given) as object);
}

/** As `qmp`, for commands that answer nothing. */
export async function silently(context: CommandContext, name: string, args: object = {}): Promise<string> {
  await qmp(context, name, args);
  return '';
}

export const device: Parameter = { name: 'device', kind: 'device' };
export const word = (name: string): Parameter => ({ name, kind: 'string' });
export const optionalWord = (name: string): Parameter => ({ name, kind: 'string', optional: true });
export const flag = (letter: string, name: string): Parameter => ({
  name,
  kind: 'flag',
  letter,
  optional: true,
});
