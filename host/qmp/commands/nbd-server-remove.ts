/** nbd-server-remove: block-export-del, of NBD exports. Deprecated in QEMU. */
import { exportsOf } from '../../exports/block-exports.ts';
import { optional, str, struct } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';
import { blockExportRemoveMode } from './block-export-del.ts';

export const nbdServerRemove = defineCommand({
  name: 'nbd-server-remove',
  args: struct('NbdServerRemoveArguments', { name: str, mode: optional(blockExportRemoveMode) }),
  async run({ graph }, { name, mode = 'safe' }) {
    await exportsOf(graph).remove(name, mode);
    return {};
  },
});
