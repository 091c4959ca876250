/**
 * The mirror job: keeps a target in step with a source until it is told to end (specification: jobs, sections 8, 9
 * and 12). The active commit is the same job with a node of the source's own backing chain as its target.
 *
 * What the job holds: the filter above the source; the backend through which it writes; one edge without permissions to
 * source, target and the nodes between them, by which draining reaches it; operation blockers on all of them; a
 * reference on source and target. When its work has succeeded it keeps the source drained, so that both stay equal, until
 * it is finalized. All of it is gone when `clean` is over.
 */
import type { OnError } from '../../block/error-policy.ts';
import type { BlockGraph } from '../../block/graph.ts';
import type { BlockNode } from '../../block/node.ts';
import type { BlockJobParams } from '../block-job.ts';
import { InsertedFilter } from '../filter-insertion.ts';
import type { Job } from '../job.ts';
import type { JobRegistry } from '../job-registry.ts';
import { MirrorDriver } from './mirror-driver.ts';
import { MirrorTop, mirrorTop } from './mirror-top.ts';
import type { TargetBacking } from './pivot.ts';

/** What may be in flight where nobody says. */
export const defaultBufferBytes = 16 << 20;

export interface MirrorParams extends BlockJobParams {
  type: 'mirror' | 'commit';
  source: BlockNode;
  target: BlockNode;
  /** `none` copies only what is written from now on. */
  sync: 'full' | 'top' | 'none';
  /** With sync=top: what this node and those below it hold is not copied. */
  base: BlockNode | undefined;
  /** The target may hold anything, and must get zeros too. */
  zeroTarget: boolean;
  unmap: boolean;
  /** Bytes per bit of the dirty bitmap, a power of two. */
  granularity: number;
  /** Bytes in flight, a multiple of the granularity. */
  bufferBytes: number;
  /** Writes of guests end when the target has them too. */
  writeBlocking: boolean;
  onSourceError: OnError;
  onTargetError: OnError;
  /** The node whose place the target takes; the source when absent. */
  replaces: string | undefined;
  targetBacking: TargetBacking;
  /** The target was made writable for the job, and is read-only again when that fails. */
  keepsReadOnly?: boolean;
}

/**
 * Creates the job and starts it; settles when it has begun to copy, or has found nothing to copy. The caller keeps or drops its own references as it likes. Errors: BlockError; nothing
 * is left behind.
 */
export async function startMirror(graph: BlockGraph, jobs: JobRegistry, params: MirrorParams): Promise<Job> {
  const { source, filterNodeName, speed, autoFinalize, autoDismiss } = params;
  const id = params.id ?? graph.deviceNameOf(source);
  const filter = await InsertedFilter.above(source, {
    driver: mirrorTop,
    driverClass: MirrorTop,
    options: { backing: source },
    flags: { readOnly: source.readOnly, discard: true },
    nodeName: filterNodeName,
    isImplicit: filterNodeName === undefined,
  });
  const driver = new MirrorDriver(graph, filter, params);
  const job = await jobs.createAttached(driver, { id, speed, autoFinalize, autoDismiss });
  const settled = driver.whenSettledIn();
  job.start();
  await settled;
  return job;
}
