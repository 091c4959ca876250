/** query-commands: their names, the one registered last first. */
import { array, empty, str, struct } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';

export const queryCommands = defineCommand({
  name: 'query-commands',
  args: empty,
  returns: array(struct('CommandInfo', { name: str })),
  run: ({ commands }) =>
    commands
      .list()
      .map(({ name }) => ({ name }))
      .reverse(),
});
