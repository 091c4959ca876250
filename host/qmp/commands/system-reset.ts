/** system_reset: as the button on a machine's front. Devices that wait for it to be unplugged go. */
import { empty } from '../../qapi/types.ts';
import { defineMachineCommand } from '../machine-command.ts';

export const systemReset = defineMachineCommand({
  name: 'system_reset',
  args: empty,
  async run(machine, _args, { shutdown }) {
    if (await machine.reset()) await shutdown('host-qmp-system-reset');
  },
});
