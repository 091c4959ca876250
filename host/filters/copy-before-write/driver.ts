/**
 * The `copy-before-write` filter: keeps a point in time of its `file` child on its `target` child (specification:
 * graph, section 3; jobs, section 7).
 *
 * Before a write, write-zeroes or discard reaches what is still to be copied, its old data is read from `file`
 * (old-data.ts). Where it goes is the *saver*'s affair (copy/saver.ts). On its own the filter writes it to `target` at once,
 * and the guest waits for that, as in QEMU. With `x-cbw-buffer`, and in a backup job, a buffer takes it instead, so that the
 * guest waits for the target only when that is full. Reads pass through untouched.
 *
 * A cluster is in one of these states:
 *
 * | state       | meaning                                                                          |
 * | ----------- | -------------------------------------------------------------------------------- |
 * | to copy     | the only copy of the old data is in `file`: no write may pass                    |
 * | partly so   | the buffer has some units of it, and writes to those pass                        |
 * | claimed     | somebody reads it just now: writes wait for that, or have their units saved      |
 * | saved       | the old data is on `target` or in the saver's hands: writes pass                 |
 *
 * A copy that takes longer than `cbw-timeout` goes on, but counts as failed for the write that waits. With `bitmap` the
 * point in time is what that bitmap has dirty, nothing else. Reading it back is in point-in-time.ts.
 *
 * In fleecing the target shows the source wherever it holds nothing itself. A copy then waits for reads of the target
 * that are under way, which may be reading the source, and holds up later ones until it is there.
 */
import { asBlockError, BlockError, invalid } from '../../base/errors.ts';
import { isBelow } from '../../block/chain.ts';
import { clusterBytesOf } from '../../block/cluster-bytes.ts';
import type { Driver, DriverDefinition, SnapshotAccess, WriteFlags } from '../../block/driver.ts';
import type { Edge } from '../../block/edge.ts';
import type { BlockNode } from '../../block/node.ts';
import type { OpenContext } from '../../block/open-context.ts';
import { Perm } from '../../block/permissions.ts';
import { bufferOptions, checkBuffer, openSpill } from '../../copy/buffer-options.ts';
import { CopyMap } from '../../copy/copy-map.ts';
import { DrainingBuffer } from '../../copy/draining-buffer.ts';
import { HeldPieces } from '../../copy/held-pieces.ts';
import { HotRegions } from '../../copy/hot-regions.ts';
import type { BufferFill } from '../../copy/save-buffer.ts';
import { type CopySource, DirectSaver, type Saver } from '../../copy/saver.ts';
import type { Spiller } from '../../copy/spiller.ts';
import { WaitStatistics } from '../../copy/wait-statistics.ts';
import type { HierarchicalBitmap } from '../../core/bitmap.ts';
import type { Clock } from '../../platform/platform.ts';
import { enumeration, extend, optional, size, str, struct, type TypeOf, uint32 } from '../../qapi/types.ts';
import { maxPieceBytes, OldData } from './old-data.ts';
import { PointInTime } from './point-in-time.ts';

/** The unit of copying is at least this, however small the target's clusters. */
const minClusterBytes = 64 << 10;
/** Longest cluster that `min-cluster-size` can ask for: one of them has to fit in memory. */
const maxClusterBytes = 128 << 20;
const ownOptions = struct('BlockdevOptionsCbwOwn', {
  bitmap: optional(struct('BlockDirtyBitmap', { node: str, name: str })),
  'on-cbw-error': optional(enumeration('OnCbwError', ['break-guest-write', 'break-snapshot'])),
  /** Seconds; 0: none. */
  'cbw-timeout': optional(uint32),
  /** Bytes, a power of two: the least unit of copying; the target's cluster size may be more. */
  'min-cluster-size': optional(size),
  /** What happens when the buffer is full: the guest waits, or goes on and nobody can read the point in time any more. */
  'x-cbw-policy': optional(enumeration('CbwFilterPolicy', ['wait', 'break-snapshot'])),
});

const optionsType = extend('BlockdevOptionsCbw', ownOptions, bufferOptions);

type Options = TypeOf<typeof optionsType>;

export class CopyBeforeWrite implements Driver, CopySource {
  readonly copyMap: CopyMap;
  /** Flags travel on with the request. */
  readonly supportsFua = true;
  /** Where old data goes; by default straight to the target. */
  saver: Saver;
  /** Clusters that the top layer of `file` does not hold are not part of the copy (sync=top). */
  skipUnallocated = false;
  /** What was copied is discarded in `file`, which the owner does: the filter lets nobody else write meanwhile. */
  discardsSource = false;
  readonly held: HeldPieces;
  readonly hotRegions: HotRegions;
  /** Of guests whose writes had something to save. */
  readonly waits = new WaitStatistics();
  /** Nobody wants the point in time any more: everything passes. */
  private disabled = false;
  private readonly pointInTime: PointInTime;
  private readonly oldData = new OldData(this);
  private buffer: DrainingBuffer | undefined;

  constructor(
    private readonly node: () => BlockNode,
    readonly source: Edge,
    readonly target: Edge,
    private readonly clock: Clock,
    private readonly options: Options,
  ) {
    this.copyMap = new CopyMap(source.length, clusterBytesFor(target.node, options));
    this.copyMap.setAll();
    const { clusterBytes } = this.copyMap;
    this.held = new HeldPieces(clusterBytes);
    this.hotRegions = new HotRegions(Math.max(maxPieceBytes, clusterBytes));
    this.pointInTime = new PointInTime(source, target, this.copyMap, this.held);
    this.saver = new DirectSaver(target);
  }

  /** From now on old data goes to a buffer of the filter's own, which drains to the target. */
  useBuffer(limitBytes: number, spill: Spiller | undefined, breaksWhenFull: boolean): void {
    this.buffer = new DrainingBuffer(this, {
      limitBytes,
      spill,
      ...(breaksWhenFull && { onFull: () => this.disable() }),
      onAlarm: (fill) => this.tellAlarm(fill),
      onBusy: (isBusy) => {
        if (isBusy) this.node().requestBegin();
        else this.node().requestEnd();
      },
    });
    this.saver = this.buffer.saver;
  }

  /** How saving goes, to a buffer of the filter's own or of a job. */
  get saving(): { fill: BufferFill | undefined; waits: WaitStatistics } {
    return { fill: this.saver.fill, waits: this.waits };
  }

  drainChanged(isDrained: boolean): void {
    if (isDrained) this.buffer?.saver.hold();
    else this.buffer?.saver.unhold();
  }

  getLength(): Promise<number> {
    return this.source.getByteLength();
  }

  get snapshotAccess(): SnapshotAccess {
    return this.pointInTime;
  }

  /** Only these clusters are the point in time. */
  restrict(bits: HierarchicalBitmap): void {
    this.copyMap.replace(bits);
    this.pointInTime.restrict();
  }

  /** Called by the dispatcher before any request that changes data. */
  beforeWrite(offset: number, bytes: number, flags: WriteFlags): Promise<void> | undefined {
    if (flags.unchanged || this.isOver || !this.copyMap.isDirty(offset, bytes)) return undefined;
    if (this.oldData.isSaved(offset, bytes)) return this.whenUnread(offset, bytes);
    const startNs = this.clock.nowNs();
    this.hotRegions.note(offset);
    if (!this.oldData.saveNow(offset, bytes)) return this.saveAndWait(offset, bytes, startNs);
    this.waits.record(this.clock.nowNs() - startNs);
    return this.whenUnread(offset, bytes);
  }

  private whenUnread(offset: number, bytes: number): Promise<void> | undefined {
    return this.copyMap.isRead(offset, bytes) ? this.copyMap.whenUnread(offset, bytes) : undefined;
  }

  private async saveAndWait(offset: number, bytes: number, startNs: number): Promise<void> {
    try {
      await this.saveInTime(offset, bytes);
    } catch (error) {
      if (this.disabled) return;
      if (this.options['on-cbw-error'] !== 'break-snapshot') throw error;
      this.pointInTime.isBroken = true;
      return;
    } finally {
      this.waits.record(this.clock.nowNs() - startNs);
    }
    if (!this.isOver) await this.copyMap.whenUnread(offset, bytes);
  }

  private get isOver(): boolean {
    return this.disabled || this.pointInTime.isBroken;
  }

  private async saveInTime(offset: number, bytes: number): Promise<void> {
    const seconds = this.options['cbw-timeout'] ?? 0;
    const saved = this.oldData.save(offset, bytes);
    if (seconds === 0) return saved;
    const node = this.node();
    // It may go on when the request is long over, and nobody must take the filter for idle then.
    node.requestBegin();
    const ended = saved.finally(() => node.requestEnd());
    await new Promise<void>((resolve, reject) => {
      const timer = this.clock.setTimer(seconds * 1e9, () => reject(new BlockError('ETIMEDOUT')));
      const settle = (how: () => void) => (): void => {
        timer.cancel();
        how();
      };
      ended.then(settle(resolve), (error: unknown) => settle(() => reject(error))());
    });
  }

  /** From now on everything passes; writes that wait for the saver are let go by its owner. */
  disable(): void {
    this.disabled = true;
    this.pointInTime.isBroken = true;
  }

  get isDisabled(): boolean {
    return this.disabled;
  }

  childPermissions(
    child: Edge,
    cumulative: { perm: number; shared: number },
  ): { perm: number; shared: number } {
    if (child.role !== 'filtered') return { perm: Perm.write, shared: Perm.all & ~Perm.resize };
    let { perm, shared } = cumulative;
    if (this.discardsSource) perm |= Perm.write;
    // With nobody above, others may still write: that is how the filter gets between them and the node.
    if (this.node().parents.size > 0) {
      perm |= Perm.consistentRead;
      shared &= ~(Perm.write | Perm.resize);
    }
    return { perm, shared };
  }

  /** Buffer and spill file, the filter's own or a job's, fill up. */
  tellAlarm({ bufferBytes, bufferedBytes, spillBytes, spilledBytes }: BufferFill): void {
    const node = this.node();
    node.graph.emit({
      name: 'X_CBW_BUFFER_NEARLY_FULL',
      data: {
        'node-name': node.name,
        'buffer-size': bufferBytes,
        buffered: bufferedBytes,
        'spill-size': spillBytes,
        spilled: spilledBytes,
      },
    });
  }

  async close(): Promise<void> {
    const { buffer, pointInTime } = this;
    this.buffer = undefined;
    const wasBroken = pointInTime.isBroken;
    const isComplete = (await buffer?.close()) ?? true;
    this.disable();
    if (!isComplete && !wasBroken) {
      const { graph, name } = this.node();
      graph.platform.console.warn(`The target of '${name}' has not taken all that it was to keep`);
    }
  }
}

/** The target's own cluster size, if that is more than the least. Throws QEMU's words. */
function clusterBytesFor(target: BlockNode, { 'min-cluster-size': wanted = 0 }: Options): number {
  if (wanted !== 0 && !Number.isInteger(Math.log2(wanted))) {
    throw cannotCreate(invalid('min-cluster-size needs to be a power of 2'));
  }
  if (wanted > maxClusterBytes) {
    throw cannotCreate(invalid(`min-cluster-size too large: ${wanted} > ${maxClusterBytes}`));
  }
  return Math.max(minClusterBytes, wanted, clusterBytesOf(target) ?? 0);
}

function cannotCreate(error: BlockError): BlockError {
  return error.within('Cannot create block-copy-state');
}

/** The bits of the bitmap that the options name. Throws QEMU's words. */
function findBits({ graph, length }: BlockNode, bitmap: { node: string; name: string }): HierarchicalBitmap {
  const found = graph.observer.findBitmap(graph, bitmap.node, bitmap.name);
  try {
    found.checkReadable();
    const { size: recorded } = found.bits;
    if (recorded !== length) {
      const sizes = `destination size is ${length}, source size is ${recorded}`;
      throw invalid(`Bitmaps are of different sizes (${sizes}) and can't be merged`);
    }
    return found.bits;
  } catch (error) {
    throw cannotCreate(
      asBlockError(error).within(`Failed to merge bitmap '${bitmap.name}' to internal copy-bitmap`),
    );
  }
}

export const copyBeforeWrite: DriverDefinition<Options> = {
  name: 'copy-before-write',
  kind: 'filter',
  options: optionsType,
  children: [{ name: 'file' }, { name: 'target' }],
  isNamedAsChild: true,
  async open(context: OpenContext, options: Options): Promise<Driver> {
    const source = await context.openChild('file', 'filtered');
    const target = await context.openChild('target', 'image');
    const node = source.parent as BlockNode;
    const bits = options.bitmap && findBits(source.node, options.bitmap);
    const { platform } = context;
    const driver = new CopyBeforeWrite(() => node, source, target, platform.clock, options);
    if (bits) driver.restrict(bits);
    const bufferBytes = checkBuffer(options, 0);
    if (bufferBytes > 0) {
      if (isBelow(target.node, source.node)) {
        throw invalid('x-cbw-buffer must be 0 where readers of the target see the source through it');
      }
      const spill = await openSpill(platform, options, source.length);
      driver.useBuffer(bufferBytes, spill, options['x-cbw-policy'] === 'break-snapshot');
    }
    if (isBelow(target.node, source.node)) await target.exclude('reads');
    return driver;
  },
};
