/**
 * The `copy-before-write` filter: keeps a point in time of its `file` child on its `target` child (specification:
 * graph, section 3; jobs, section 7).
 *
 * Before a write, write-zeroes or discard reaches clusters that are still to be copied, their old data is read from
 * `file`. Where it goes is the *saver*'s affair (copy/saver.ts). On its own the filter writes it to `target` at once, and the guest
 * waits for that, as in QEMU. A backup job puts its buffer there instead, so that the guest waits for the target only
 * when that buffer is full. Reads pass through untouched.
 *
 * A cluster is in one of three states:
 *
 * | state   | meaning                                                          |
 * | ------- | ---------------------------------------------------------------- |
 * | to copy | the only copy of the old data is in `file`: no write may pass    |
 * | claimed | somebody reads it just now: writes wait for the claim to end     |
 * | saved   | the old data is on `target` or in the saver's hands: writes pass |
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
import { contentOf } from '../../copy/content.ts';
import { type Claim, CopyMap } from '../../copy/copy-map.ts';
import { type CopySource, DirectSaver, type Saver } from '../../copy/saver.ts';
import type { HierarchicalBitmap } from '../../core/bitmap.ts';
import type { Clock } from '../../platform/platform.ts';
import { enumeration, optional, size, str, struct, type TypeOf, uint32 } from '../../qapi/types.ts';
import { PointInTime } from './point-in-time.ts';

/** The unit of copying is at least this, however small the target's clusters. */
const minClusterBytes = 64 << 10;
/** Longest cluster that `min-cluster-size` can ask for: one of them has to fit in memory. */
const maxClusterBytes = 128 << 20;
/** Longest range that a guest's write reads ahead of itself in one piece. */
const maxPieceBytes = 1 << 20;

const optionsType = struct('BlockdevOptionsCbw', {
  bitmap: optional(struct('BlockDirtyBitmap', { node: str, name: str })),
  'on-cbw-error': optional(enumeration('OnCbwError', ['break-guest-write', 'break-snapshot'])),
  /** Seconds; 0: none. */
  'cbw-timeout': optional(uint32),
  /** Bytes, a power of two: the least unit of copying; the target's cluster size may be more. */
  'min-cluster-size': optional(size),
});

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
  /** Nobody wants the point in time any more: everything passes. */
  private disabled = false;
  private readonly pointInTime: PointInTime;
  private readonly directSaver: Saver;

  constructor(
    private readonly node: () => BlockNode,
    readonly source: Edge,
    readonly target: Edge,
    private readonly clock: Clock,
    private readonly options: Options,
  ) {
    this.copyMap = new CopyMap(source.length, clusterBytesFor(target.node, options));
    this.copyMap.setAll();
    this.pointInTime = new PointInTime(source, target, this.copyMap);
    this.saver = this.directSaver = new DirectSaver(target);
  }

  getLength(): Promise<number> {
    return this.source.getByteLength();
  }

  /** Undefined in a backup job: what that has saved may be in memory still. */
  get snapshotAccess(): SnapshotAccess | undefined {
    return this.saver === this.directSaver ? this.pointInTime : undefined;
  }

  /** Only these clusters are the point in time. */
  restrict(bits: HierarchicalBitmap): void {
    this.copyMap.replace(bits);
    this.pointInTime.restrict();
  }

  /** Called by the dispatcher before any request that changes data. */
  async beforeWrite(offset: number, bytes: number, flags: WriteFlags): Promise<void> {
    if (flags.unchanged || this.isOver || !this.copyMap.isDirty(offset, bytes)) return;
    try {
      await this.saveInTime(offset, bytes);
    } catch (error) {
      if (this.disabled) return;
      if (this.options['on-cbw-error'] !== 'break-snapshot') throw error;
      this.pointInTime.isBroken = true;
      return;
    }
    if (!this.isOver) await this.copyMap.whenUnread(offset, bytes);
  }

  private get isOver(): boolean {
    return this.disabled || this.pointInTime.isBroken;
  }

  private async saveInTime(offset: number, bytes: number): Promise<void> {
    const seconds = this.options['cbw-timeout'] ?? 0;
    const saved = this.saveRange(offset, bytes);
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

  private async saveRange(offset: number, bytes: number): Promise<void> {
    const end = offset + bytes;
    for (;;) {
      const next = this.copyMap.next(offset, end);
      if (!next || this.disabled) return;
      if ('ended' in next) await next.ended;
      else await this.saveRun(next.offset, Math.min(next.bytes, maxPieceBytes));
    }
  }

  /** Saves one run of clusters that were to copy a moment ago, or as much of it as can be had. */
  private async saveRun(offset: number, bytes: number): Promise<void> {
    const { source, skipUnallocated } = this;
    const content = await contentOf(source.node, this.copyMap.clusters, offset, bytes, skipUnallocated);
    const buffer = content.kind === 'data' ? await this.saver.reserve(content.bytes) : undefined;
    if (this.disabled) {
      if (buffer) this.saver.release(buffer);
      return;
    }
    // Looking and reserving took time: what somebody else copied meanwhile is not ours any more.
    const claim = this.copyMap.claim(offset, content.bytes);
    if (!claim) {
      if (buffer) this.saver.release(buffer);
      await this.copyMap.whenFree(offset, content.bytes);
      return;
    }
    if (content.kind === 'skip') {
      this.copyMap.end(claim, true);
      this.saver.skipped(claim.bytes);
      return;
    }
    await this.moveClaim(claim, buffer);
  }

  private async moveClaim(claim: Claim, buffer: Uint8Array | undefined): Promise<void> {
    let saved = false;
    try {
      if (buffer) await this.source.read(claim.offset, buffer.subarray(0, claim.bytes));
    } catch (error) {
      if (buffer) this.saver.release(buffer);
      this.copyMap.end(claim, false);
      throw error;
    }
    try {
      await this.saver.save({ offset: claim.offset, bytes: claim.bytes, buffer });
      saved = true;
    } finally {
      this.copyMap.end(claim, saved);
    }
  }

  /** From now on everything passes; writes that wait for the saver are let go by its owner. */
  disable(): void {
    this.disabled = true;
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

  async close(): Promise<void> {
    this.disable();
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
    const driver = new CopyBeforeWrite(() => node, source, target, context.platform.clock, options);
    if (bits) driver.restrict(bits);
    if (isBelow(target.node, source.node)) await target.exclude('reads');
    return driver;
  },
};
