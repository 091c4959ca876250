/**
 * Writes that nobody has a say in, straight to the driver.
 *
 * The narrow path beside the dispatcher's (request.ts), where edges try it first: no lock is held, no bitmap or filter wants
 * to know, nothing is to be aligned, split, detected or made durable. Such a write costs no promise of its own where the
 * driver is done at once; where it is not, the rest of the way is the same as any other write's.
 */
import { settled } from '../base/settled.ts';
import type { WriteFlags } from './driver.ts';
import type { Edge } from './edge.ts';
import type { BlockNode } from './node.ts';
import { Perm } from './permissions.ts';
import { maxRequestBytes } from './request.ts';
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
  const written = start(node, offset, buffer, flags);
  if (written !== settled) return underWay(node, offset, buffer.length, written);
  node.writeGeneration++;
  reached(node, offset + buffer.length);
  return settled;
}

function isPlain(edge: Edge, offset: number, { length }: Uint8Array, flags: WriteFlags): boolean {
  const { node } = edge;
  if (!(offset >= 0) || offset + length > Number.MAX_SAFE_INTEGER) return false;
  if (length === 0 || length > maxRequestBytes) return false;
  if (node.closed || node.readOnly || (edge.perm & (Perm.write | Perm.writeUnchanged)) === 0) return false;
  if (flags.fua || flags.unchanged || node.flags.detectZeroes !== 'off' || node.probedRaw) return false;
  if (node.writeObservers.size > 0 || node.populateLocks.users > 0 || edge.excludes) return false;
  const { limits, beforeWrite, debugEvent } = node.driver;
  if (beforeWrite || debugEvent) return false;
  if (!limits) return true;
  const { requestAlignment = 1, maxTransfer = 0 } = limits;
  return requestAlignment === 1 && (maxTransfer === 0 || length <= maxTransfer);
}

/** Never throws. */
function start(node: BlockNode, offset: number, buffer: Uint8Array, flags: WriteFlags): Promise<void> {
  const { driver } = node;
  try {
    if (driver.write) return driver.write(offset, buffer, flags);
    if (driver.prepareWrite) return writeMapped(node, offset, buffer, flags);
    // A driver without either is a filter.
    return node.chainEdge()!.write(offset, buffer, flags);
  } catch (error) {
    return Promise.reject(error);
  }
}

async function underWay(
  node: BlockNode,
  offset: number,
  bytes: number,
  written: Promise<void>,
): Promise<void> {
  node.requestBegin();
  try {
    await written;
    reached(node, offset + bytes);
  } finally {
    node.writeGeneration++;
    // Those who have come meanwhile.
    for (const observer of node.writeObservers) observer.onWrite(offset, bytes);
    node.requestEnd();
  }
}

function reached(node: BlockNode, end: number): void {
  node.growTo(end);
  if (end > node.highestWriteOffset) node.highestWriteOffset = end;
}
