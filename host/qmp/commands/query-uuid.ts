/** query-uuid: what `-uuid` says, all zeros by default. */
import { empty, str, struct } from '../../qapi/types.ts';
import { defineMachineCommand } from '../machine-command.ts';

const noUuid = '00000000-0000-0000-0000-000000000000';

export const queryUuid = defineMachineCommand({
  name: 'query-uuid',
  args: empty,
  returns: struct('UuidInfo', { UUID: str }),
  run: ({ options: { uuid = noUuid } }) => ({ UUID: uuid }),
});
