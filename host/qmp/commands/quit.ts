/** quit: cancels all jobs, answers, and ends the process. */
import { empty } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';

export const quit = defineCommand({
  name: 'quit',
  args: empty,
  run: ({ shutdown }) => shutdown('host-qmp-quit'),
});
