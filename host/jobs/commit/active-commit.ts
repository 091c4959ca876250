/**
 * The active commit: a mirror of the top image of a chain into an image below it, which takes its place in the end
 * (specification: jobs, section 9). A base that was read-only is so again when the job fails; one that is told to end in step leaves it writable.
 */
import { bitmapsOf } from '../../bitmaps/node-bitmaps.ts';
import type { OnError } from '../../block/error-policy.ts';
import type { BlockGraph } from '../../block/graph.ts';
import type { BlockNode } from '../../block/node.ts';
import type { BlockJobParams } from '../block-job.ts';
import type { Job } from '../job.ts';
import type { JobRegistry } from '../job-registry.ts';
import { defaultBufferBytes, startMirror } from '../mirror/mirror.ts';

export interface ActiveCommitParams extends BlockJobParams {
  top: BlockNode;
  /** In the backing chain of `top`. */
  base: BlockNode;
  onError: OnError;
}

/** Makes the base writable, creates the job and starts it. Errors: BlockError; nothing is left behind. */
export async function startActiveCommit(
  graph: BlockGraph,
  jobs: JobRegistry,
  params: ActiveCommitParams,
): Promise<Job> {
  const { top, base, onError, ...rest } = params;
  const { readOnly } = base;
  if (readOnly) await graph.setReadOnly(base, false);
  try {
    return await startMirror(graph, jobs, {
      ...rest,
      type: 'commit',
      source: top,
      target: base,
      sync: 'top',
      base,
      zeroTarget: false,
      unmap: true,
      granularity: bitmapsOf(base).defaultGranularity(),
      bufferBytes: defaultBufferBytes,
      writeBlocking: false,
      onSourceError: onError,
      onTargetError: onError,
      replaces: undefined,
      targetBacking: 'leave',
      keepsReadOnly: readOnly,
    });
  } catch (error) {
    if (readOnly) await graph.setReadOnly(base, true);
    throw error;
  }
}
