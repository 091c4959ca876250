/** x-debug-block-dirty-bitmap-sha256: a hash of the bits of a bitmap, for tests (specification: bitmaps, section 2). */
import { sha256 } from '../../base/sha256.ts';
import { findBitmap } from '../../bitmaps/node-bitmaps.ts';
import { str, struct } from '../../qapi/types.ts';
import { bitmapData } from '../actions/bitmap-data.ts';
import { defineCommand } from '../command.ts';

export const xDebugBlockDirtyBitmapSha256 = defineCommand({
  name: 'x-debug-block-dirty-bitmap-sha256',
  args: bitmapData,
  returns: struct('BlockDirtyBitmapSha256', { sha256: str }),
  run({ graph }, { node, name }) {
    const digest = sha256(findBitmap(graph, node, name).bitmap.toBytes());
    return { sha256: [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('') };
  },
});
