/** x-debug-block-dirty-bitmap-sha256: a hash of the bits of a bitmap, for tests (specification: bitmaps, section 2). */
import { Sha256 } from '../../base/sha256.ts';
import { findBitmap } from '../../bitmaps/node-bitmaps.ts';
import type { HierarchicalBitmap } from '../../core/bitmap.ts';
import { Pacer } from '../../platform/pacer.ts';
import type { Platform } from '../../platform/platform.ts';
import { str, struct } from '../../qapi/types.ts';
import { bitmapData } from '../actions/bitmap-data.ts';
import { defineCommand } from '../command.ts';

export const xDebugBlockDirtyBitmapSha256 = defineCommand({
  name: 'x-debug-block-dirty-bitmap-sha256',
  args: bitmapData,
  returns: struct('BlockDirtyBitmapSha256', { sha256: str }),
  async run({ graph }, { node, name }) {
    // As they are now: a hash of a gigabyte takes a second, and the guest goes on writing.
    const bits = findBitmap(graph, node, name).bitmap.bits.copy();
    const digest = await hash(bits, graph.platform);
    return { sha256: [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('') };
  },
});

async function hash(bits: HierarchicalBitmap, { clock, sha256 }: Platform): Promise<Uint8Array> {
  const hash = sha256?.() ?? new Sha256();
  const pacer = new Pacer(clock);
  for (const { bytes, content } of bits.parts()) {
    if (typeof content !== 'string') {
      hash.update(content);
      await pacer.breathe();
      continue;
    }
    const alike = new Uint8Array(Math.min(bytes, alikeBytes)).fill(content === 'set' ? 0xff : 0);
    for (let left = bytes; left > 0; left -= alike.length) {
      hash.update(left < alike.length ? alike.subarray(0, left) : alike);
      await pacer.breathe();
    }
  }
  return hash.digest();
}

/** What is all clear or all set is hashed in pieces of this size. */
const alikeBytes = 256 * 1024;
