/** query-name: what `-name` says. */
import { empty, optional, str, struct } from '../../qapi/types.ts';
import { defineMachineCommand } from '../machine-command.ts';

export const queryName = defineMachineCommand({
  name: 'query-name',
  args: empty,
  returns: struct('NameInfo', { name: optional(str) }),
  run: ({ options: { name } }) => (name === undefined ? {} : { name }),
});
