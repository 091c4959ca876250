/**
 * What a command of the human monitor is (specification: qmp-protocol, section 8): its parameters, as QEMU's help knows
 * them, and what it does, mostly by way of QMP commands. What it returns is shown; a BlockError is shown as `Error: …`.
 */
import { assert } from '../../base/assert.ts';
import type { BlockError } from '../../base/errors.ts';
import { checkStrict } from '../../qapi/strict.ts';
import type { CommandContext } from '../../qmp/command.ts';

type ParameterKind =
  /** A word; quotes keep one together. */
  | 'string'
  /** A word that names a disk. */
  | 'device'
  /** A word that names a file. */
  | 'filename'
  /** An expression of 64 bits. */
  | 'int'
  /** An expression, from 0 to 2^32 - 1. */
  | 'int32'
  /** Bytes, with a suffix; mebibytes without one. */
  | 'size'
  /** `on` or `off`. */
  | 'switch'
  /** `-x`. */
  | 'flag'
  /** `NAME=VALUE,…`, which may be missing. */
  | 'options'
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

/** A command as `help` shows it. */
export interface HmpTopic {
  /** `info block` for those that `info` shows. */
  readonly name: string;
  readonly alias?: string;
  /** Its arguments; absent: none. */
  readonly usage?: string;
  readonly help: string;
}

export interface HmpCommand extends HmpTopic {
  readonly parameters?: readonly Parameter[];
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

/** What went wrong, and what may help. Lines end with LF. */
export function describeError({ message, hint }: BlockError): string {
  return `${message}\n${hint === undefined ? '' : `${hint.trimEnd()}\n`}`;
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
