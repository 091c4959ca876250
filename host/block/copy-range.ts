/**
 * Copying from one image to another without the data passing through here, where both lie in files between which the
 * host can copy.
 *
 * A source is followed down to the file that holds its bytes as they are; a target gets them by the plans of its driver.
 * Whatever has to see the data, or makes something else of them, stands in the way: then nothing is copied here (ENOTSUP),
 * and whoever asked reads and writes.
 */
import { BlockError } from '../base/errors.ts';
import type { Driver, SourceRange, WritePlan } from './driver.ts';
import type { BlockNode } from './node.ts';
import { writeEdges, writePlanned } from './transfer.ts';

/**
 * Where the first of `bytes` bytes at `offset` of `node` lie, or of its backing files; nobody writes to these meanwhile.
 * Undefined: nowhere as they are.
 */
export async function findSourceRange(
  node: BlockNode,
  offset: number,
  bytes: number,
): Promise<SourceRange | undefined> {
  const { driver } = node;
  const inside = Math.min(bytes, node.length - offset);
  if (!driver.map || inside <= 0) return undefined;
  const extent = await driver.map(offset, inside, { wantZero: false });
  switch (extent.type) {
    case 'own':
      return { driver, offset, bytes: extent.bytes };
    case 'data': {
      const { plain } = extent.child;
      return plain && findSourceRange(plain.node, extent.offset, extent.bytes);
    }
    case 'unallocated': {
      const backing = node.backing();
      return backing && findSourceRange(backing, offset, extent.bytes);
    }
    case 'special':
    case 'zero':
      return undefined;
  }
}

/** Copies `source` to `offset` of `node`, within its length. Called by the dispatcher alone. Errors: ENOTSUP; of I/O. */
export async function copyIntoNode(node: BlockNode, offset: number, source: SourceRange): Promise<void> {
  const { driver } = node;
  const alignment = driver.limits?.requestAlignment ?? 1;
  if (offset % alignment !== 0 || source.bytes % alignment !== 0) throw new BlockError('ENOTSUP');
  if (driver.copyRange) return driver.copyRange(offset, source);
  if (driver.write || !plansWrites(driver)) throw new BlockError('ENOTSUP');
  let rest = source;
  while (rest.bytes > 0) {
    const target = offset + source.bytes - rest.bytes;
    const done = await writePlanned(driver, target, rest.bytes, (plan) =>
      copyAsPlanned(node, target, plan, rest),
    );
    rest = { ...rest, offset: rest.offset + done, bytes: rest.bytes - done };
  }
}

function plansWrites(driver: Driver): driver is Driver & Required<Pick<Driver, 'prepareWrite'>> {
  return driver.prepareWrite !== undefined;
}

async function copyAsPlanned(
  node: BlockNode,
  offset: number,
  plan: WritePlan,
  source: SourceRange,
): Promise<void> {
  const { allocation } = plan;
  const { plain } = plan.child;
  if (!plain) throw new BlockError('ENOTSUP');
  if (allocation && allocation.headBytes + allocation.tailBytes > 0)
    await writeEdges(node, plan, allocation, offset);
  await plain.copyRange(plan.offset, { ...source, bytes: plan.bytes });
}
