/** Commands that are also actions of a `transaction`, a file each in commands/: they do what the action does. */
import type { ActionDefinition } from './actions/action.ts';
import { type CommandDefinition, defineCommand } from './command.ts';
import { runAction, runDirectly } from './transaction.ts';

type Run = typeof runAction;

/** A transaction of one. */
export function defineActionCommand<Data extends object>(
  action: ActionDefinition<Data>,
): CommandDefinition<Data, object> {
  return define(action, runAction);
}

/** For actions that need no instant: nothing is brought to rest. */
export function defineDirectCommand<Data extends object>(
  action: ActionDefinition<Data>,
): CommandDefinition<Data, object> {
  return define(action, runDirectly);
}

function define<Data extends object>(
  action: ActionDefinition<Data>,
  runAlone: Run,
): CommandDefinition<Data, object> {
  return defineCommand({
    name: action.type,
    args: action.data,
    async run(context, data) {
      await runAlone(context, action, data);
      return {};
    },
  });
}
