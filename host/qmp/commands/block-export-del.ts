/** block-export-del: takes an export back; BLOCK_EXPORT_DELETED says when it is gone. */
import { exportsOf } from '../../exports/block-exports.ts';
import { enumeration, optional, str, struct } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';

/** `safe`: only when it has no clients. `hard`: their connections are ended. */
export const blockExportRemoveMode = enumeration('BlockExportRemoveMode', ['safe', 'hard']);

export const blockExportDel = defineCommand({
  name: 'block-export-del',
  args: struct('BlockExportDelArguments', { id: str, mode: optional(blockExportRemoveMode) }),
  async run({ graph }, { id, mode = 'safe' }) {
    await exportsOf(graph).remove(id, mode);
    return {};
  },
});
