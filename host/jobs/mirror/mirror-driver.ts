/** What a mirror job does from its start to its end: see mirror.ts. */
import { createDeferred } from '../../base/deferred.ts';
import { asBlockError, type BlockError, invalid } from '../../base/errors.ts';
import { type BackendUser, BlockBackend } from '../../block/backend.ts';
import { chainFrom, isBelow, nextInChain } from '../../block/chain.ts';
import { clusterBytesOf } from '../../block/cluster-bytes.ts';
import type { BlockGraph } from '../../block/graph.ts';
import type { BlockNode } from '../../block/node.ts';
import type { OpBlocker } from '../../block/op-blockers.ts';
import { Perm } from '../../block/permissions.ts';
import { copyPacerOf } from '../../copy/copy-pacer.ts';
import { RetryPause } from '../../copy/retry-pause.ts';
import { Traffic } from '../../copy/traffic.ts';
import type { InsertedFilter } from '../filter-insertion.ts';
import type { Job, JobChange, JobDriver } from '../job.ts';
import { NodeHolds } from '../node-holds.ts';
import { DirtyMap } from './dirty-map.ts';
import { initialPhase, zeroesWithoutSpace } from './initial-phase.ts';
import type { MirrorParams } from './mirror.ts';
import { MirrorCopier } from './mirror-copier.ts';
import type { MirrorTop } from './mirror-top.ts';
import { mayReplace, pivot, removeMirrorTop, setTargetBacking } from './pivot.ts';

/** How often a job that is in step looks for new writes. */
const idleNs = 100_000_000;
/** How often an active commit goes through the disk before guests' writes are brought along. */
const patientRounds = 2;

export class MirrorDriver implements JobDriver {
  readonly type: 'mirror' | 'commit';
  readonly isBlockJob = true;
  private readonly source: BlockNode;
  readonly target: BlockNode;
  private readonly replaceBlocker: OpBlocker = { reason: 'block device is in use by block-job-complete' };
  private readonly traffic: Traffic;
  private readonly retryPause = new RetryPause();
  private holds: NodeHolds | undefined;
  private writer: BlockBackend | undefined;
  private map: DirtyMap | undefined;
  private copier: MirrorCopier | undefined;
  private writeBlocking: boolean;
  /** Source and target are the same, and every write goes to both. */
  private activelySynced = false;
  private job: Job | undefined;
  private frozen = false;
  private readonly settledIn = createDeferred();
  /** Takes the place of this node when the job ends well. */
  private replaced: BlockNode | undefined;
  private hasFailed = false;
  /** Once, after the job was told to end. */
  private wasFlushedForEnd = false;
  /** The job drains the source itself, and keeps it drained. */
  private holdsSource = false;
  private isDraining = false;

  constructor(
    private readonly graph: BlockGraph,
    private readonly filter: InsertedFilter<MirrorTop>,
    private readonly params: MirrorParams,
  ) {
    this.type = params.type;
    this.writeBlocking = params.writeBlocking;
    this.source = params.source;
    this.target = params.target;
    this.traffic = new Traffic(graph.platform.clock);
    this.source.ref();
    this.target.ref();
  }

  get edges(): readonly BlockBackend[] {
    return this.holds?.edges ?? [];
  }

  // Beginning and end.

  /** Takes hold of the nodes; writes to the source are noted from now on. Errors: permission conflicts, ENOMEM. */
  async attach(job: Job): Promise<void> {
    this.job = job;
    const { graph, source, target, filter, params } = this;
    const isCommit = isBelow(source, target);
    const readAndWrite = Perm.consistentRead | Perm.writeUnchanged | Perm.write;
    filter.driver.isCommit = isCommit;
    await graph.refreshPermissions(filter.node);
    const holds = new NodeHolds(job, { drainsItself: () => this.isDraining });
    this.holds = holds;
    await holds.holdFilter(filter.node, 'main node', Perm.consistentRead, readAndWrite);
    const grows = isCommit && params.type === 'commit' && target.length < source.length;
    const user: BackendUser = {
      name: 'root',
      description: '',
      perm: grows ? Perm.write | Perm.resize : Perm.write,
      shared: isCommit ? readAndWrite : Perm.writeUnchanged,
    };
    this.writer = await BlockBackend.attach(target, user);
    // Draining waits for the job's last requests; who holds them back would wait for itself.
    this.writer.ignoreDrain = true;
    this.writer.isBulk = true;
    this.map = new DirtyMap(source, filter.node, params.granularity, this.unitBytes());
    await holds.hold(source, 'source', Perm.none, readAndWrite);
    await holds.hold(target, 'target', Perm.none, Perm.all);
    if (isCommit) await this.holdBetween(holds);
  }

  private async holdBetween(holds: NodeHolds): Promise<void> {
    const { source, target, filter } = this;
    const between = [...chainFrom(nextInChain(source), target)];
    // Filters right above the target show what is written to it. (`shows` counts them: it is within the list.)
    let shows = between.length;
    while (shows > 0 && between[shows - 1]!.filtered()) shows--;
    for (const [index, node] of between.entries()) {
      const shared = Perm.write | Perm.writeUnchanged | (index >= shows ? Perm.consistentRead : Perm.none);
      await holds.hold(node, 'intermediate node', Perm.none, shared);
    }
    this.graph.freezeChain(filter.node, target);
    this.frozen = true;
  }

  /**
   * Clusters of an image whose backing file is not open yet can only be written as a whole: the rest would come from
   * nowhere.
   */
  private unitBytes(): number {
    const { granularity } = this.params;
    const image = this.target.skipFilters();
    if (image.driver.backing === undefined || image.backing()) return granularity;
    return Math.max(granularity, clusterBytesOf(image) ?? 0);
  }

  /** Lets go of everything but the filter and the references. Harmless when called again. */
  private async detach(): Promise<void> {
    this.filter.driver.copier = undefined;
    this.map?.close();
    this.map = undefined;
    if (this.frozen) this.graph.unfreezeChain(this.filter.node, this.target);
    this.frozen = false;
    await this.writer?.close();
    this.writer = undefined;
    await this.holds?.release();
    this.replaced?.opBlockers.unblockAll(this.replaceBlocker);
  }

  async abort(): Promise<void> {
    this.hasFailed = true;
  }

  async clean(): Promise<void> {
    const { graph, source, target, filter } = this;
    await this.detach();
    await removeMirrorTop(filter);
    if (this.holdsSource) source.drainEnd();
    if (this.params.keepsReadOnly && this.hasFailed && !target.readOnly) {
      // Another job may write to it by now.
      await graph.setReadOnly(target, true).catch(() => {});
    }
    if (this.replaced) await graph.unref(this.replaced);
    // The last thing: both may be closed by it.
    await graph.unref(source);
    await graph.unref(target);
  }

  // Work.

  async run(job: Job): Promise<void> {
    const top = this.filter.driver;
    try {
      const writer = this.writer!; // set by attach, before the job could be started
      await this.adjustLength(writer);
      const map = this.map!; // as the writer
      const copier = this.createCopier(job, writer, map);
      if (this.params.sync !== 'none') {
        await initialPhase(job, {
          ...this.params,
          target: writer,
          map,
          onLong: () => this.settledIn.resolve(),
        });
      }
      this.copier = copier;
      await this.follow(job, map, copier);
    } finally {
      this.settledIn.resolve();
      await this.traffic.whenIdle();
      // What is in step stays so: no write passes any more. Otherwise nobody cares for the target.
      this.copier = undefined;
      top.copier = undefined;
      // The command that ends the job is answered first.
      await this.graph.platform.clock.yield();
    }
  }

  private async adjustLength(writer: BlockBackend): Promise<void> {
    const { source, target, params } = this;
    if (target.length === source.length) return;
    if (params.type === 'mirror') throw invalid('Source and target image have different sizes');
    if (target.length < source.length) await writer.truncate(source.length);
  }

  private createCopier(job: Job, target: BlockBackend, map: DirtyMap): MirrorCopier {
    const { onSourceError, onTargetError, unmap, bufferBytes } = this.params;
    return new MirrorCopier({
      map,
      source: this.filter.driver.source,
      target,
      traffic: this.traffic,
      limiter: job.limiter,
      pacer: copyPacerOf(job.registry),
      bufferBytes,
      unmap,
      zeroesAreCheap: zeroesWithoutSpace(this.target),
      progress: job.progress,
      onError: (operation, error) => {
        if (job.isForceCancelled || job.hasEnded) return 'ignore';
        return job.handleError(operation, operation === 'read' ? onSourceError : onTargetError, error);
      },
    });
  }

  /** Keeps the target in step until the job is told to end. Rejects with the error that ends it. */
  private async follow(job: Job, map: DirtyMap, copier: MirrorCopier): Promise<void> {
    const pacer = copyPacerOf(job.registry);
    for (;;) {
      if (copier.failure) throw copier.failure;
      this.filter.driver.copier = this.bringsWritesAlong(job, copier) ? copier : undefined;
      if (!copier.isWithinRun) {
        if (job.shouldPause()) {
          await this.traffic.whenIdle();
          this.updateTotal(job, map);
          if (!copier.failure) await job.pausePoint();
          continue;
        }
        if (job.isForceCancelled) return;
      }
      this.updateTotal(job, map);
      if (copier.hasToRest) {
        copier.hasToRest = false;
        await this.traffic.sleep(this.retryPause.nextNs(job.progress.current));
        continue;
      }
      if (map.dirtyBytes > 0) this.activelySynced = false;
      if (!map.isInStep) {
        if (map.dirtyBytes === 0) {
          await this.traffic.whenChanged();
          continue;
        }
        const breath = pacer.breathe(this.traffic);
        if (breath !== undefined) {
          await breath;
          continue;
        }
        this.settledIn.resolve();
        await copier.step();
      } else if (!job.isReady) {
        const delayNs = job.limiter.delay(0);
        if (delayNs > 0) await this.traffic.sleep(delayNs);
        else if (await this.flushTarget(job, copier)) this.becomeReady(job);
      } else if (!this.replaced && !job.isCancelled) {
        this.activelySynced = this.isSyncedWhenEqual;
        await this.traffic.sleep(idleNs);
      } else if (!this.wasFlushedForEnd) {
        // It leaves little for the flush that guests wait for.
        this.wasFlushedForEnd = await this.flushTarget(job, copier);
      } else if (await this.stopSource(job, map, copier)) {
        return;
      }
    }
  }

  /**
   * Whether guests' writes go to the target, too, while they are made. Those of an active commit do when the background alone
   * does not overtake the guests, as long as somebody waits for that.
   */
  private bringsWritesAlong(job: Job, copier: MirrorCopier): boolean {
    if (this.type === 'mirror') return this.writeBlocking;
    const isWaitedFor = !job.isReady || job.isCancelled || this.replaced !== undefined;
    return isWaitedFor && copier.rounds > patientRounds;
  }

  private becomeReady(job: Job): void {
    job.becomeReady();
    this.activelySynced = this.isSyncedWhenEqual;
    this.settledIn.resolve();
  }

  /** Settles when the job has begun to copy, is in step without, stands still, or has ended. */
  whenSettledIn(): Promise<void> {
    return this.settledIn.promise;
  }

  private updateTotal(job: Job, map: DirtyMap): void {
    job.progress.expect(job.progress.current + map.dirtyBytes + map.claimedBytes);
  }

  private async flushTarget(job: Job, copier: MirrorCopier): Promise<boolean> {
    try {
      await this.writer!.flush(); // open as long as the job runs
      return true;
    } catch (error) {
      this.onFlushError(job, copier, asBlockError(error));
      return false;
    }
  }

  private onFlushError(job: Job, copier: MirrorCopier, error: BlockError): void {
    const action = job.handleError('write', this.params.onTargetError, error);
    if (action === 'report') copier.failure ??= error;
    else if (action === 'ignore') copier.hasToRest = true;
  }

  /** Both have the same content, and nobody changes it any more. False: something was written at the last moment. */
  private async stopSource(job: Job, map: DirtyMap, copier: MirrorCopier): Promise<boolean> {
    this.isDraining = true;
    await this.source.drainBegin();
    this.isDraining = false;
    if (map.isInStep && (await this.flushTarget(job, copier))) {
      this.activelySynced = this.isSyncedWhenEqual;
      this.holdsSource = true;
      return true;
    }
    this.source.drainEnd();
    return false;
  }

  interrupt(): void {
    this.traffic.wake();
  }

  /** Of nothing there is nothing that could be written past the target. */
  private get isSyncedWhenEqual(): boolean {
    return this.writeBlocking || this.source.length === 0;
  }

  /** Undefined for an active commit, which does not tell. */
  isActivelySynced(): boolean | undefined {
    return this.type === 'mirror' ? this.activelySynced : undefined;
  }

  /** Absent for an active commit. */
  get change(): JobDriver['change'] {
    return this.type === 'mirror' ? (to) => this.changeCopyMode(to) : undefined;
  }

  /** Writes of guests that have begun are left to the background. */
  private changeCopyMode({ copyMode }: JobChange): void {
    if ((copyMode === 'write-blocking') === this.writeBlocking) return;
    if (copyMode !== 'write-blocking') throw invalid(`Change to copy mode '${copyMode}' is not implemented`);
    this.writeBlocking = true;
    this.filter.driver.copier = this.copier;
  }

  // Ends.

  cancelsForcibly(): boolean {
    return !this.job?.isReady;
  }

  async complete(): Promise<void> {
    if (this.replaced) return;
    const { replaces } = this.params;
    let node = this.source;
    if (replaces !== undefined) {
      const found = this.graph.findNode(replaces);
      if (!found) throw invalid(`Node name '${replaces}' not found`);
      node = found;
      node.opBlockers.blockAll(this.replaceBlocker);
    }
    node.ref();
    this.replaced = node;
    this.interrupt();
  }

  async prepare(): Promise<void> {
    const { graph, source, target, filter, replaced, params } = this;
    if (!replaced) return;
    await this.detach();
    await target.drainBegin();
    try {
      await setTargetBacking(graph, target, params.targetBacking);
      if (!mayReplace(source, replaced)) throw cannotReplaceAnyMore(replaced, target);
      if (target.readOnly !== replaced.readOnly) await graph.setReadOnly(target, replaced.readOnly);
      await pivot(graph, { filter, source, replaced, target });
    } finally {
      target.drainEnd();
    }
    await filter.drop();
  }
}

function cannotReplaceAnyMore(replaced: BlockNode, target: BlockNode): BlockError {
  return invalid(
    `Can no longer replace '${replaced.name}' by '${target.name}', because it can no longer be guaranteed that doing ` +
      'so would not lead to an abrupt change of visible data',
  );
}
