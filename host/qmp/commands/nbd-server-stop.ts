/** nbd-server-stop: ends the NBD server with its connections and its exports, before it answers. */
import { exportsOf } from '../../exports/block-exports.ts';
import { empty } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';

export const nbdServerStop = defineCommand({
  name: 'nbd-server-stop',
  args: empty,
  async run({ graph }) {
    await exportsOf(graph).stopServer();
    return {};
  },
});
