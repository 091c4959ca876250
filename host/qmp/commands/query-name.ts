/** query-name: what `-name` says. */
import { withoutUndefined } from '../../base/without-undefined.ts';
import { empty, optional, str, struct } from '../../qapi/types.ts';
import { defineMachineCommand } from '../machine-command.ts';

export const queryName = defineMachineCommand({
  name: 'query-name',
  args: empty,
  returns: struct('NameInfo', { name: optional(str) }),
  run: ({ options: { name } }) => withoutUndefined({ name }),
});
