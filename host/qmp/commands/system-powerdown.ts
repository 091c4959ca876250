/** system_powerdown: as the button on a machine's front. Without a processor there is no guest that would do anything about it. */
import { empty } from '../../qapi/types.ts';
import { defineMachineCommand } from '../machine-command.ts';

export const systemPowerdown = defineMachineCommand({
  name: 'system_powerdown',
  args: empty,
  run({ emit, processor }) {
    processor?.pressPowerButton?.();
    emit({ name: 'POWERDOWN' });
  },
});
