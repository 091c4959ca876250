/** nbd-server-remove: block-export-del, of NBD exports. Deprecated in QEMU. */
import { invalid } from '../../base/errors.ts';
import { exportsOf } from '../../exports/block-exports.ts';
import { optional, str, struct } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';
import { blockExportRemoveMode } from './block-export-del.ts';

export const nbdServerRemove = defineCommand({
  name: 'nbd-server-remove',
  args: struct('NbdServerRemoveArguments', { name: str, mode: optional(blockExportRemoveMode) }),
  async run({ graph }, { name, mode = 'safe' }) {
    const all = exportsOf(graph);
    const found = all.list().find(({ id }) => id === name);
    if (found?.overWebSocket) throw invalid(`Block export '${name}' is not an NBD export`);
    await all.remove(name, mode);
    return {};
  },
});
