/** query-status: whether the machine runs, and why not. */
import { runStateType } from '../../machine/run-state.ts';
import { bool, empty, struct } from '../../qapi/types.ts';
import { defineMachineCommand } from '../machine-command.ts';

export const queryStatus = defineMachineCommand({
  name: 'query-status',
  args: empty,
  returns: struct('StatusInfo', { running: bool, status: runStateType }),
  run: ({ runState }) => ({ running: runState.isRunning, status: runState.name }),
});
