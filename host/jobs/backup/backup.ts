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
import { BlockError } from '../../base/errors.ts';
import { withoutUndefined } from '../../base/without-undefined.ts';
import type { BlockBackend } from '../../block/backend.ts';
import type { BlockGraph } from '../../block/graph.ts';
import type { BlockNode } from '../../block/node.ts';
import { Perm } from '../../block/permissions.ts';
import { openSpill, saysBuffer } from '../../copy/buffer-options.ts';
import { CopyEngine, CopyFailure } from '../../copy/copy-engine.ts';
import { copyPacerOf } from '../../copy/copy-pacer.ts';
import { RetryPause } from '../../copy/retry-pause.ts';
import { Traffic } from '../../copy/traffic.ts';
import { CopyBeforeWrite } from '../../filters/copy-before-write/driver.ts';
import { InsertedFilter } from '../filter-insertion.ts';
import type { Job, JobDriver, SavingInfo } from '../job.ts';
import type { JobRegistry } from '../job-registry.ts';
import type { JobTransaction } from '../job-transaction.ts';
import { NodeHolds } from '../node-holds.ts';
import { chooseBitmap, SyncBitmap } from './bitmap.ts';
import { type BackupCommon, bufferBytesOf, checkChunk, checkNodes, checkSizes, perfOf } from './options.ts';

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
  bufferBytesOf(source, target, options);
  const bitmap = choice && new SyncBitmap(source, choice);
  try {
    checkSizes(source, target);
    const filter = await insertFilter(params);
    return await createOn(graph, jobs, filter, params, bitmap);
  } catch (error) {
    bitmap?.release();
    throw error;
  }
}

/** A filter without a name stays in sight: only its name is made up. */
function insertFilter({ source, target, options }: BackupParams): Promise<InsertedFilter<CopyBeforeWrite>> {
  return InsertedFilter.above(source, {
    driver: 'copy-before-write',
    driverClass: CopyBeforeWrite,
    options: {
      file: source.name,
      target: target.name,
      ...withoutUndefined({ 'min-cluster-size': options['x-perf']?.['min-cluster-size'] }),
    },
    // Whether a discard goes on is for the source to say.
    flags: { discard: true, readOnly: source.readOnly },
    nodeName: options['filter-node-name'],
    isImplicit: false,
  });
}

async function createOn(
  graph: BlockGraph,
  jobs: JobRegistry,
  filter: InsertedFilter<CopyBeforeWrite>,
  params: BackupParams,
  bitmap: SyncBitmap | undefined,
): Promise<Job> {
  const { options, transaction } = params;
  try {
    checkChunk(options, filter.driver.copyMap.clusterBytes);
  } catch (error) {
    await filter.remove();
    throw error;
  }
  return jobs.createAttached(new BackupDriver(filter, params, bitmap), {
    id: options['job-id'] ?? graph.deviceNameOf(filter.node),
    transaction,
    speed: options.speed,
    autoFinalize: options['auto-finalize'],
    autoDismiss: options['auto-dismiss'],
  });
}

class BackupDriver implements JobDriver {
  readonly type = 'backup';
  readonly isBlockJob = true;
  private readonly source: BlockNode;
  readonly target: BlockNode;
  private readonly options: BackupCommon;
  private holds: NodeHolds | undefined;
  private engine: CopyEngine | undefined;
  private topScanned = false;
  /** The buffer was full, and guests were not to wait: the job cannot go on. */
  private lostInstant = false;
  private readonly retryPause = new RetryPause();
  /** After an error that was ignored. */
  private readonly rest: Traffic;

  constructor(
    private readonly filter: InsertedFilter<CopyBeforeWrite>,
    params: BackupParams,
    private readonly bitmap: SyncBitmap | undefined,
  ) {
    this.rest = new Traffic(filter.node.graph.platform.clock);
    this.source = params.source;
    this.target = params.target;
    this.options = params.options;
  }

  /** Takes hold of the nodes; guests' writes are saved by the engine from now on. */
  async attach(job: Job): Promise<void> {
    const { node, driver } = this.filter;
    const { sync } = this.options;
    const { clock } = job.registry.platform;
    if (sync === 'bitmap' || sync === 'incremental') this.bitmap?.restrict(driver.copyMap);
    driver.skipUnallocated = sync === 'top';
    if (this.options['discard-source']) await this.takeSource();
    const engine = new CopyEngine({
      filter: driver,
      clock,
      pacer: copyPacerOf(job.registry),
      limiter: job.limiter,
      ...perfOf(this.options),
      compress: this.options.compress ?? false,
      discardSource: driver.discardsSource,
      bufferBytes: bufferBytesOf(this.source, this.target, this.options),
      spill: await openSpill(job.registry.platform, this.options, this.source.length),
      onFull: this.onFullOf(job),
      onAlarm: (fill) => driver.tellAlarm(fill),
      progress: job.progress,
      isWanted: () => job.isWanted || this.lostInstant,
      isStopped: () => job.isParked,
    });
    this.engine = engine;
    this.holds = new NodeHolds(job, { beside: engine });
    await this.holds.holdFilter(node, 'main node', Perm.none, Perm.all);
    await this.holds.hold(this.target, 'target', Perm.none, Perm.all);
  }

  private onFullOf(job: Job): (() => void) | undefined {
    const { 'x-cbw-policy': policy = 'wait' } = this.options;
    if (policy === 'wait') return undefined;
    return () => {
      this.lostInstant = true;
      if (policy === 'cancel') job.requestCancel(true);
    };
  }

  /** Undefined unless somebody has said what the buffer is to be. */
  get saving(): SavingInfo | undefined {
    return saysBuffer(this.options) ? this.filter.driver.saving : undefined;
  }

  /** What is to be discarded in the source is written to. Errors: it is read-only, a permission conflict. */
  private async takeSource(): Promise<void> {
    const { node, driver } = this.filter;
    driver.discardsSource = true;
    try {
      await node.graph.refreshPermissions(node);
    } catch (error) {
      driver.discardsSource = false;
      throw error;
    }
  }

  /** Parents of the filter that let nobody else write are about to use the source beside it. */
  private async leaveSource(): Promise<void> {
    const { node, driver } = this.filter;
    if (!driver.discardsSource) return;
    driver.discardsSource = false;
    await node.graph.refreshPermissions(node);
  }

  get edges(): readonly BlockBackend[] {
    return this.holds?.edges ?? [];
  }

  async run(job: Job): Promise<void> {
    while (!job.isCancelled) {
      try {
        if (await this.work()) return await this.flushTarget();
        if (!job.isCancelled) this.checkInstant();
      } catch (error) {
        if (!(error instanceof CopyFailure)) throw error;
        if (job.isCancelled) return;
        this.checkInstant();
        const { operation } = error;
        const policy = this.options[operation === 'read' ? 'on-source-error' : 'on-target-error'] ?? 'report';
        const action = job.handleError(operation, policy, error.error);
        if (action === 'report') throw error.error;
        if (action === 'ignore' && !job.isWanted)
          await this.rest.sleep(this.retryPause.nextNs(job.progress.current));
      }
      const resumed = job.pausePoint();
      if (job.isParked) this.engine?.stopped();
      await resumed;
    }
  }

  private checkInstant(): void {
    if (this.lostInstant)
      throw new BlockError('ENOSPC', "The buffer for what guests' writes overwrite is full");
  }

  interrupt(): void {
    this.engine?.interrupt();
    this.rest.wake();
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
    await this.filter.driver.target.flush();
  }

  async commit(): Promise<void> {
    this.bitmap?.finish(undefined);
  }

  async abort(): Promise<void> {
    // Only then the map says what the target lacks.
    await this.engine?.close();
    this.bitmap?.finish(this.filter.driver.copyMap);
  }

  async clean(): Promise<void> {
    await this.engine?.close();
    await this.holds?.release();
    await this.filter.remove(() => this.leaveSource());
  }
}
