/** query-uuid: what `-uuid` says. */
import { empty, str, struct } from '../../qapi/types.ts';
import { defineMachineCommand } from '../machine-command.ts';

export const queryUuid = defineMachineCommand({
  name: 'query-uuid',
  args: empty,
  returns: struct('UuidInfo', { UUID: str }),
  run: ({ options: { uuid } }) => ({ UUID: uuid }),
});
