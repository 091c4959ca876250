/**
 * Writes that nobody has a say in, straight to the driver.
 *
 * The narrow path beside the dispatcher's (request.ts), where edges try it first: no lock is held, no bitmap or filter wants
 * to know, nothing is to be aligned, split, detected or made durable. Such a write costs no promise of its own where the
 * driver is done at once; where it is not, it is waited for as any other write is.
 */
import { settled } from '../base/settled.ts';
import type { WriteFlags } from './driver.ts';
import type { Edge } from './edge.ts';
import type { BlockNode } from './node.ts';
import { Perm } from './permissions.ts';
import { changing, maxRequestBytes } from './request.ts';
import { writeMapped } from './transfer.ts';

/** Undefined: there is more to this write, and nothing has been done. */
export function writeAtOnce(
  edge: Edge,
  offset: number,
  buffer: Uint8Array,
  flags: WriteFlags,
): Promise<void> | undefined {
  if (!isPlain(edge, offset, buffer, flags)) return undefined;
  const { node } = edge;
  const end = offset + buffer.length;
  const written = start(node, offset, buffer, flags);
  if (written !== settled) {
    return changing(edge, offset, buffer.length, flags, 'data', async () => {
      await written;
      node.growTo(end);
    });
  }
  node.writeGeneration++;
  node.growTo(end);
  if (end > node.highestWriteOffset) node.highestWriteOffset = end;
  return settled;
}

function isPlain(edge: Edge, offset: number, buffer: Uint8Array, flags: WriteFlags): boolean {
  const { node } = edge;
  const { driver } = node;
  const { requestAlignment = 1, maxTransfer = 0 } = driver.limits ?? {};
  return !(
    requestAlignment > 1 ||
    buffer.length === 0 ||
    buffer.length > (maxTransfer || maxRequestBytes) ||
    !(offset >= 0 && offset <= node.length) ||
    node.closed ||
    (edge.perm & (Perm.write | Perm.writeUnchanged)) === 0 ||
    node.readOnly ||
    node.flags.detectZeroes !== 'off' ||
    node.probedRaw ||
    node.writeObservers.size > 0 ||
    node.populateLocks.users > 0 ||
    flags.unchanged ||
    flags.fua ||
    edge.excludes ||
    driver.beforeWrite ||
    driver.debugEvent ||
    !(driver.write || driver.prepareWrite)
  );
}

/** Never throws. */
function start(node: BlockNode, offset: number, buffer: Uint8Array, flags: WriteFlags): Promise<void> {
  const { driver } = node;
  try {
    return driver.write ? driver.write(offset, buffer, flags) : writeMapped(node, offset, buffer, flags);
  } catch (error) {
    return Promise.reject(error);
  }
}
