/** stop: the machine pauses; what was written is durable and nothing is on its way when it answers. */
import { empty } from '../../qapi/types.ts';
import { defineMachineCommand } from '../machine-command.ts';

export const stop = defineMachineCommand({
  name: 'stop',
  args: empty,
  run: (machine) => machine.stop(),
});
