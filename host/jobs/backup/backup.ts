/**
 * The backup job: a point in time of one node on another (specification: jobs, section 7).
 *
 * A copy-before-write filter above the source saves what guests overwrite; a background loop copies the rest; both work
 * on one map through one copy engine. The point in time is the moment at which the filter was put in: callers drain
 * the source around it.
 *
 * What the job holds: the filter (which references source and target), one edge without permissions to filter and
 * target each, by which draining reaches it, and an operation blocker on both. All of it is gone when `clean` is over.
 *
 * A failing target and guests' writes: data that is in memory when the target fails waits there for what on-target-error
 * says. The guest's write has been acknowledged and stays so. With `report` the job fails and the data is dropped.
 */
import { asBlockError, invalid } from '../../base/errors.ts';
import { withoutUndefined } from '../../base/without-undefined.ts';
import { BlockBackend } from '../../block/backend.ts';
import type { BlockGraph } from '../../block/graph.ts';
import type { BlockNode } from '../../block/node.ts';
import type { OpBlocker } from '../../block/op-blockers.ts';
import { Perm } from '../../block/permissions.ts';
import { CopyEngine, CopyFailure } from '../../copy/copy-engine.ts';
import type { CopyBeforeWrite } from '../../filters/copy-before-write/driver.ts';
import { insertFilter, removeFilter } from '../filter-insertion.ts';
import type { Job, JobDriver } from '../job.ts';
import type { JobRegistry } from '../job-registry.ts';
import type { JobTransaction } from '../job-transaction.ts';
import { chooseBitmap, SyncBitmap } from './bitmap.ts';
import { type BackupCommon, checkNodes, checkSizes, perfOf } from './options.ts';

interface BackupParams {
  source: BlockNode;
  target: BlockNode;
  options: BackupCommon;
  /** Absent: the job succeeds or fails on its own. */
  transaction?: JobTransaction | undefined;
}

/**
 * Creates the job, its filter in place, without starting it. The caller drains the source from before this until after
 * `start`, and keeps or drops its own reference on the target as it likes. Errors: BlockError; nothing is left behind.
 */
export async function createBackupJob(
  graph: BlockGraph,
  jobs: JobRegistry,
  params: BackupParams,
): Promise<Job> {
  const { source, target, options } = params;
  const choice = chooseBitmap(source, options);
  checkNodes(source, target, options);
  const bitmap = choice && new SyncBitmap(source, choice);
  try {
    checkSizes(source, target);
    const filter = await openFilter(graph, source, target, options['filter-node-name']);
    try {
      return await createOn(graph, jobs, filter, params, bitmap);
    } catch (error) {
      (filter.driver as CopyBeforeWrite).disable();
      await removeFilter(graph, filter);
      throw error;
    }
  } catch (error) {
    bitmap?.release();
    throw error;
  }
}

async function createOn(
  graph: BlockGraph,
  jobs: JobRegistry,
  filter: BlockNode,
  params: BackupParams,
  bitmap: SyncBitmap | undefined,
): Promise<Job> {
  const { options, transaction } = params;
  const { copyMap } = filter.driver as CopyBeforeWrite;
  const { maxChunkBytes } = perfOf(options);
  if (maxChunkBytes > 0 && maxChunkBytes < copyMap.clusterBytes) {
    throw invalid(
      `Required max-chunk (${maxChunkBytes}) is less than backup cluster size (${copyMap.clusterBytes})`,
    );
  }
  if (options.sync === 'bitmap' || options.sync === 'incremental') bitmap?.restrict(copyMap);
  const driver = new BackupDriver(graph, filter, params, bitmap);
  const job = jobs.create(driver, {
    id: options['job-id'] ?? graph.deviceNameOf(filter),
    transaction,
    speed: options.speed,
    autoFinalize: options['auto-finalize'],
    autoDismiss: options['auto-dismiss'],
  });
  try {
    await driver.attach(job);
  } catch (error) {
    jobs.discard(job);
    await driver.detach();
    throw error;
  }
  return job;
}

async function openFilter(
  graph: BlockGraph,
  source: BlockNode,
  target: BlockNode,
  name: string | undefined,
): Promise<BlockNode> {
  let filter: BlockNode;
  try {
    filter = await graph.open(
      {
        driver: 'copy-before-write',
        file: source.name,
        target: target.name,
        ...withoutUndefined({ 'node-name': name }),
      },
      // Whether a discard goes on is for the source to say.
      { discard: true, readOnly: source.readOnly },
    );
  } catch (error) {
    throw asBlockError(error).within('Could not create node');
  }
  await insertFilter(graph, filter, source);
  return filter;
}

class BackupDriver implements JobDriver {
  readonly type = 'backup';
  readonly isBlockJob = true;
  private readonly source: BlockNode;
  private readonly target: BlockNode;
  private readonly options: BackupCommon;
  private readonly blocker: OpBlocker = { reason: 'block device is in use by block job: backup' };
  readonly edges: BlockBackend[] = [];
  private engine: CopyEngine | undefined;
  private topScanned = false;

  constructor(
    private readonly graph: BlockGraph,
    private readonly filter: BlockNode,
    params: BackupParams,
    private readonly bitmap: SyncBitmap | undefined,
  ) {
    this.source = params.source;
    this.target = params.target;
    this.options = params.options;
  }

  /** Takes hold of the nodes; guests' writes are saved by the engine from now on. */
  async attach(job: Job): Promise<void> {
    const cbw = this.filter.driver as CopyBeforeWrite;
    const { clock } = job.registry.platform;
    cbw.skipUnallocated = this.options.sync === 'top';
    const engine = new CopyEngine({
      filter: cbw,
      clock,
      pacer: job.registry.pacer,
      limiter: job.limiter,
      ...perfOf(this.options),
      compress: this.options.compress ?? false,
      writeThrough: isInBackingChain(this.source, this.target),
      progress: job.progress,
      isWanted: () => job.isWanted,
      isStopped: () => job.isParked,
    });
    this.engine = engine;
    const onDrain = {
      begin(): void {
        engine.hold();
        job.drainBegin();
      },
      end(): void {
        engine.unhold();
        job.drainEnd();
      },
      async whenIdle(): Promise<void> {
        await job.whenQuiescent();
        await engine.whenIdle();
      },
    };
    const user = { description: `backup job '${job.id}'`, perm: Perm.none, shared: Perm.all, onDrain, job };
    this.edges.push(await BlockBackend.attach(this.filter, { ...user, name: 'main node' }));
    this.filter.opBlockers.blockAll(this.blocker, ['dataplane']);
    this.edges.push(await BlockBackend.attach(this.target, { ...user, name: 'target' }));
    this.target.opBlockers.blockAll(this.blocker);
  }

  async run(job: Job): Promise<void> {
    while (!job.isCancelled) {
      try {
        if (await this.work()) return await this.flushTarget();
      } catch (error) {
        if (!(error instanceof CopyFailure)) throw error;
        if (job.isCancelled) return;
        const { operation } = error;
        const policy = this.options[operation === 'read' ? 'on-source-error' : 'on-target-error'] ?? 'report';
        if (job.handleError(operation, policy, error.error) === 'report') throw error.error;
      }
      const resumed = job.pausePoint();
      if (job.isParked) this.engine?.stopped();
      await resumed;
    }
  }

  interrupt(): void {
    this.engine?.interrupt();
  }

  /** Whether all is done. */
  private async work(): Promise<boolean> {
    const engine = this.engine!; // set by attach, before the job could be started
    if (this.options.sync === 'none') {
      await engine.saveOnly();
      return false;
    }
    if (this.options.sync === 'top' && !this.topScanned) {
      this.topScanned = await engine.skipUnallocated();
      if (!this.topScanned) return false;
    }
    return engine.copyAll();
  }

  /** A backup that is reported complete is on the disk. */
  private async flushTarget(): Promise<void> {
    await (this.filter.driver as CopyBeforeWrite).target.flush();
  }

  async commit(): Promise<void> {
    this.bitmap?.finish(undefined);
  }

  async abort(): Promise<void> {
    // Only then the map says what the target lacks.
    await this.engine?.close();
    this.bitmap?.finish((this.filter.driver as CopyBeforeWrite).copyMap);
  }

  async detach(): Promise<void> {
    await this.engine?.close();
    // The filter stays blocked: it is about to go, and nobody may start anything on it in between.
    this.target.opBlockers.unblockAll(this.blocker);
    for (const backend of this.edges.splice(0)) await backend.close();
  }

  async clean(): Promise<void> {
    await this.detach();
    await removeFilter(this.graph, this.filter);
  }
}

/** Readers of the target then see through to the source where the target has nothing yet (fleecing). */
function isInBackingChain(source: BlockNode, target: BlockNode): boolean {
  for (let node = target.backing(); node; node = node.filtered() ?? node.backing())
    if (node === source) return true;
  return false;
}
