/**
 * What a QMP command is: one file each in commands/, one line each in commands/index.ts.
 *
 * A definition says everything there is to know about a command: its name, the types of its arguments and of what it
 * returns, and how it runs. Checking, error texts, `query-qmp-schema` and TypeScript types follow from it. `run` only
 * ever sees arguments that passed the check. What it throws as a BlockError becomes the error of the answer; anything
 * else is a bug.
 */
import type { DriverRegistry } from '../block/driver-registry.ts';
import type { Machine, ShutdownReason } from '../machine/machine.ts';
import type { UserObjects } from '../objects/user-objects.ts';
import { empty, type StructType, type Type, type UnionType } from '../qapi/types.ts';
import type { BlockServices } from './actions/action.ts';
import type { QmpProtocol } from './protocol.ts';

export interface CommandContext extends BlockServices {
  readonly commands: CommandTable;
  readonly objects: UserObjects;
  /** Absent in the storage daemon. */
  readonly machine?: Machine | undefined;
  /** Of the client that sent the command. */
  readonly session: QmpProtocol;
  /** Ends the process once the answer has been sent. Jobs are cancelled before the promise settles. */
  shutdown(reason: ShutdownReason): Promise<void>;
}

type ArgumentsType<Args extends object> = StructType<Args> | UnionType<Args>;

export interface CommandDefinition<Args extends object = object, Result = unknown> {
  readonly name: string;
  /** Some arguments depend on which drivers there are. */
  readonly args: ArgumentsType<Args> | ((drivers: DriverRegistry) => ArgumentsType<Args>);
  /** Absent: an empty object. */
  readonly returns?: Type;
  /** QEMU version that introduced it. */
  readonly since?: string;
  run(context: CommandContext, args: Args): Promise<Result> | Result;
}

/** Commands have different arguments; a table holds them without their types. */
export type AnyCommand = Omit<CommandDefinition, 'args' | 'run'> & {
  readonly args: Type | ((drivers: DriverRegistry) => Type);
  run(context: CommandContext, args: never): unknown;
};

export function defineCommand<Args extends object, Result>(
  definition: CommandDefinition<Args, Result>,
): CommandDefinition<Args, Result> {
  return definition;
}

/** A command whose argument type is settled. */
export interface Command {
  readonly name: string;
  readonly args: StructType | UnionType;
  readonly returns: Type;
  run(context: CommandContext, args: object): unknown;
}

/** The commands of one server, in the order of their registration. */
export class CommandTable {
  private readonly byName = new Map<string, Command>();

  constructor(definitions: readonly AnyCommand[], drivers: DriverRegistry) {
    for (const { name, args, returns, run } of definitions) {
      this.byName.set(name, {
        name,
        args: (typeof args === 'function' ? args(drivers) : args) as Command['args'],
        returns: returns ?? empty,
        // The dispatcher hands over only what it checked against `args`.
        run: run as Command['run'],
      });
    }
  }

  find(name: string): Command | undefined {
    return this.byName.get(name);
  }

  list(): readonly Command[] {
    return [...this.byName.values()];
  }
}
