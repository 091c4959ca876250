/** Commands that only a program with a machine has: they are in its command table and in no other. */
import { assert } from '../base/assert.ts';
import type { Machine } from '../machine/machine.ts';
import { type CommandContext, type CommandDefinition, defineCommand } from './command.ts';

type MachineCommandDefinition<Args extends object, Result> = Omit<CommandDefinition<Args, Result>, 'run'> & {
  run(machine: Machine, args: Args, context: CommandContext): Promise<Result> | Result;
};

export function defineMachineCommand<Args extends object, Result>({
  run,
  ...definition
}: MachineCommandDefinition<Args, Result>): CommandDefinition<Args, Result> {
  return defineCommand({
    ...definition,
    run(context: CommandContext, args: Args) {
      assert(context.machine, `${definition.name} is in the command table of a program without a machine`);
      return run(context.machine, args, context);
    },
  });
}
