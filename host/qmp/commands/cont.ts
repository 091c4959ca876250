/** cont: the machine goes on, and requests that stopped it are tried again. */
import { empty } from '../../qapi/types.ts';
import { defineMachineCommand } from '../machine-command.ts';

export const cont = defineMachineCommand({
  name: 'cont',
  args: empty,
  run: (machine) => machine.cont(),
});
