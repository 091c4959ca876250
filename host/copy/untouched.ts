/**
 * What of a target is as it was made: it reads as zeros, and nothing is stored there, nor below. Whoever has zeros for it is
 * done without writing them, which on a disk of many terabytes would be all the work there is.
 *
 * Only the target's own tables are asked: a host's file system may take long to say where holes are. An image that names a backing
 * file is asked nothing, be it open with it or without, as the target of an incremental backup is: what holds nothing there will be read
 * as that file has it.
 */
import type { BlockNode } from '../block/node.ts';
import { type BlockStatus, blockStatus } from '../block/status.ts';
import type { AskStatus } from './status-runs.ts';

/** Longest range that is asked about at once. */
export const maxUntouchedBytes = 2 ** 40;

export function askUntouched(target: BlockNode): AskStatus<BlockStatus> {
  if (namesBacking(target)) return async (_, bytes) => ({ ...stored, bytes });
  return (offset, bytes) => blockStatus(target, offset, bytes, false);
}

const stored = { data: true, zero: false, allocated: true, eof: false, depth: 0 };

function namesBacking({ driver, children }: BlockNode): boolean {
  return driver.backing !== undefined || [...children.values()].some(({ node }) => namesBacking(node));
}

/** Of what `askUntouched` says. */
export function isUntouched({ zero, allocated }: BlockStatus): boolean {
  return zero && !allocated;
}
