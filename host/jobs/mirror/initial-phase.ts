/**
 * What a mirror does before it copies: makes the target zero where that is needed and cheap, and finds out what has to
 * be copied (specification: jobs, section 8).
 */
import type { BlockBackend } from '../../block/backend.ts';
import type { BlockNode } from '../../block/node.ts';
import { isAllocatedAbove } from '../../block/status.ts';
import { copyPacerOf } from '../../copy/copy-pacer.ts';
import { askUntouched, isUntouched, maxUntouchedBytes } from '../../copy/untouched.ts';
import type { Job } from '../job.ts';
import type { DirtyMap } from './dirty-map.ts';

/** Longest range that is made zero at once. */
const maxZeroBytes = 1 << 30;

interface InitialPhaseOptions {
  source: BlockNode;
  target: BlockBackend;
  map: DirtyMap;
  /** What this node and those below hold is not copied. */
  base: BlockNode | undefined;
  /** The target may hold anything: everything must be brought in step, zeros too. */
  zeroTarget: boolean;
  unmap: boolean;
  /** It takes so long that nobody should wait for it. */
  onLong(): void;
}

/** Comes to pause points on the way; returns early when the job is cancelled. Rejects with a BlockError. */
export async function initialPhase(job: Job, options: InitialPhaseOptions): Promise<void> {
  const { map, target, zeroTarget, unmap } = options;
  if (zeroTarget) {
    const areZeroesCheap = zeroesWithoutSpace(target.node);
    if (!areZeroesCheap && job.speed > 0) {
      map.setAll();
      return;
    }
    const ask = askUntouched(target.node);
    await inSteps(job, options, async (offset, rest) => {
      const found = await map.units.firstOfAKind({ offset, bytes: rest }, ask, isUntouched);
      if (found.kind) {
        // As if they had been copied.
        if (!areZeroesCheap) job.progress.advance(found.bytes);
        return found.bytes;
      }
      if (!areZeroesCheap) {
        map.set(offset, found.bytes);
        return found.bytes;
      }
      const bytes = Math.min(found.bytes, maxZeroBytes);
      await target.writeZeroes(offset, bytes, { mayUnmap: unmap });
      return bytes;
    });
  }
  const { source, base } = options;
  await inSteps(job, options, async (offset, rest) => {
    const { allocated, bytes } = await isAllocatedAbove(source, base, false, offset, rest);
    if (allocated) map.set(offset, bytes);
    return bytes;
  });
}

/** Goes through the whole disk; `step` says how far it has come. */
async function inSteps(
  job: Job,
  { map, onLong }: InitialPhaseOptions,
  step: (offset: number, bytes: number) => Promise<number>,
): Promise<void> {
  const pacer = copyPacerOf(job.registry);
  let breaths = 0;
  for (let offset = 0; offset < map.length && !job.isCancelled; ) {
    const breath = pacer.breathe();
    if (breath !== undefined) {
      // The first may come at any time.
      if (++breaths > 1) onLong();
      await breath;
    }
    await job.pausePoint();
    offset += await step(offset, Math.min(maxUntouchedBytes, map.length - offset));
  }
}

/** Whether runs of zeros take neither time nor space there. */
export function zeroesWithoutSpace(node: BlockNode): boolean {
  if (!node.flags.discard) return false;
  if (node.driver.writeZeroes) return true;
  const below = node.filtered();
  return below !== undefined && zeroesWithoutSpace(below);
}
