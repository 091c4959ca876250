/**
 * An active commit for those who wait for it and keep the chain as it is: the human monitor's `commit` and `img commit`
 * (specification: jobs, section 9; cli, section 2). It is a job of nobody's, so clients hear nothing of it.
 */
import { BlockError } from '../../base/errors.ts';
import { Waiters } from '../../base/waiters.ts';
import type { BlockGraph } from '../../block/graph.ts';
import type { BlockNode } from '../../block/node.ts';
import type { Job } from '../job.ts';
import { JobRegistry } from '../job-registry.ts';
import { startActiveCommit } from './active-commit.ts';

interface CommitRequest {
  /** Of the job. */
  id: string;
  top: BlockNode;
  /** In the backing chain of `top`. */
  base: BlockNode;
  /** Bytes per second; 0: as fast as it goes. */
  speed?: number;
  /** Told now and then how far it is, in percent. */
  progress?(percent: number): void;
  /** The base is in step with the top: what is written from now on may be late for it. */
  ready?(): void;
}

const progressIntervalNs = 100_000_000;

/**
 * Brings everything that `top` shows and `base` does not into `base`, durably. `top` keeps its clusters, and a base that
 * was read-only is so again. Errors: what forbids the start as it is; what the job fails of as that of a `JobFailure`.
 */
export async function commitAndWait(
  graph: BlockGraph,
  { id, top, base, speed = 0, progress, ready }: CommitRequest,
): Promise<void> {
  const { platform } = graph;
  const wasReadOnly = base.readOnly;
  const changes = new Waiters();
  const jobs = new JobRegistry({ platform, guests: graph.guestLatency, emit: () => changes.wake() });
  const job = await startActiveCommit(graph, jobs, {
    id,
    top,
    base,
    speed,
    onError: 'report',
    filterNodeName: undefined,
    autoFinalize: true,
    autoDismiss: false,
  });
  const timer = progress && watchProgress(job, progress);
  try {
    while (!job.isReady && job.status !== 'concluded') await changes.wait();
    // What is ready ends without giving the base the place of the top when it is cancelled.
    if (job.isReady) {
      ready?.();
      await job.cancel(false);
    }
    while (job.status !== 'concluded') await changes.wait();
  } finally {
    timer?.stop();
  }
  const { error } = job;
  job.dismiss();
  try {
    if (error) throw new JobFailure(error);
    await base.flush();
  } finally {
    if (wasReadOnly && !base.readOnly) await graph.setReadOnly(base, true);
  }

  function watchProgress({ progress: work }: Job, tell: (percent: number) => void): { stop(): void } {
    const tick = (): void => {
      if (work.total > 0) tell((work.current / work.total) * 100);
      pending = platform.clock.setTimer(progressIntervalNs, tick);
    };
    let pending = platform.clock.setTimer(progressIntervalNs, tick);
    return { stop: () => pending.cancel() };
  }
}

/** What a job that had begun failed of, in the words for its errno alone. */
export class JobFailure extends BlockError {
  constructor(cause: BlockError) {
    super(cause.errno, undefined, { cause });
  }
}
