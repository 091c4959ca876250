/**
 * The persistent dirty bitmaps that `img convert --bitmaps` copies: what speaks against it before anything is made, and
 * the copying, when the data are there.
 */
import { type DirtyBitmap, mergeBitmaps } from '../../bitmaps/dirty-bitmap.ts';
import { bitmapsOf } from '../../bitmaps/node-bitmaps.ts';
import type { BlockNode } from '../../block/node.ts';
import type { Tool } from '../shared/tool.ts';

/** The bitmaps to copy. Reports what cannot be copied, and gives up unless that is to be left out. */
export function bitmapsToCopy(tool: Tool, source: BlockNode, skipBroken: boolean): DirtyBitmap[] {
  const found = [...bitmapsOf(source)].filter(({ persistent }) => persistent);
  // A raw image has a place for them beside it, and is like any other when there are some.
  if (found.length === 0 && !source.driver.bitmapStorage?.hasPlace) tool.fail('Source lacks bitmap support');
  if (skipBroken) return found;
  const broken = found.find(({ inconsistent }) => inconsistent);
  if (broken) {
    tool.fail(`Cannot copy inconsistent bitmap '${broken.name}'`, {
      hint: "Try --skip-broken-bitmaps, or use 'qemu-img bitmap --remove' to delete it",
    });
  }
  return found;
}

/** Before the data are copied. */
export function requireBitmapPlace(tool: Tool, target: BlockNode): void {
  if (target.driver.bitmapStorage?.hasPlace) return;
  tool.fail(`Format driver '${target.definition.name}' does not support bitmaps`);
}

/** Those that are inconsistent are left out. */
export async function copyBitmaps(
  tool: Tool,
  bitmaps: readonly DirtyBitmap[],
  target: BlockNode,
): Promise<void> {
  for (const bitmap of bitmaps) {
    const name = bitmap.name!; // persistent ones have names
    if (bitmap.inconsistent) {
      tool.warn(`Skipping inconsistent bitmap '${name}'`);
      continue;
    }
    const { granularity, recording } = bitmap;
    const options = { granularity, persistent: true, disabled: !recording };
    const copy = await tool.attempt(async () => bitmapsOf(target).add(name, options), {
      context: `Failed to create bitmap ${name}`,
    });
    const populate = async (): Promise<void> => {
      try {
        mergeBitmaps(copy, [bitmap]);
      } catch (error) {
        bitmapsOf(target).remove(copy);
        throw error;
      }
    };
    await tool.attempt(populate, { context: `Failed to populate bitmap ${name}` });
  }
}
