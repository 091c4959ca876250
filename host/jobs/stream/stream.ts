/**
 * The stream job: data of lower layers moves up into a node, which then no longer needs them (specification: jobs,
 * section 10).
 *
 * A `copy-on-read` filter above the node copies, chunk by chunk, what lies between the node and the base; guests may go on
 * writing all the time. When all of it is there, the base becomes the node's backing file, in the graph and in the
 * image. A job that ends otherwise leaves the chain as it is; what was copied stays and is harmless.
 */
import { asBlockError, type BlockError, invalid } from '../../base/errors.ts';
import { BlockBackend } from '../../block/backend.ts';
import { bottomImage, chainFrom, findOverlay, nextInChain } from '../../block/chain.ts';
import type { OnError } from '../../block/error-policy.ts';
import { backingFormat, filenameOf } from '../../block/filename.ts';
import type { BlockGraph } from '../../block/graph.ts';
import type { BlockNode } from '../../block/node.ts';
import { Perm } from '../../block/permissions.ts';
import { blockStatus, isAllocatedAbove } from '../../block/status.ts';
import { CopyOnRead } from '../../filters/copy-on-read.ts';
import { copyPiece } from '../../trace/events.ts';
import { measure } from '../../trace/measure.ts';
import type { BlockJobParams } from '../block-job.ts';
import { type Chunk, ChunkLoop } from '../chunk-loop.ts';
import { InsertedFilter } from '../filter-insertion.ts';
import type { Job, JobDriver } from '../job.ts';
import type { JobRegistry } from '../job-registry.ts';
import { NodeHolds } from '../node-holds.ts';

export interface StreamParams extends BlockJobParams {
  node: BlockNode;
  /** Its data and what is below is not copied. With neither, the whole chain is. */
  base: BlockNode | undefined;
  /** The lowest node whose data is copied. */
  bottom: BlockNode | undefined;
  /** What the image is to name as its backing file, instead of the base's own name. */
  backingFile: string | undefined;
  /** It is to call the format of a base that is a protocol `raw`. */
  maskProtocol?: boolean | undefined;
  onError: OnError;
}

/** Creates the job and starts it. Errors: BlockError; nothing is left behind. */
export async function startStream(graph: BlockGraph, jobs: JobRegistry, params: StreamParams): Promise<Job> {
  const { node, base } = params;
  const lowest = params.bottom ?? (base ? findOverlay(node, base) : bottomImage(node));
  if (!lowest) throw invalid(`Node '${base?.name}' is not a backing image of '${node.name}'`);
  const id = params.id ?? graph.deviceNameOf(node);
  const wasReadOnly = node.readOnly;
  if (wasReadOnly) await graph.setReadOnly(node, false);
  try {
    const filter = await InsertedFilter.above(node, {
      driver: 'copy-on-read',
      driverClass: CopyOnRead,
      options: { file: node.name, bottom: lowest.name },
      flags: { discard: true },
      nodeName: params.filterNodeName,
      isImplicit: params.filterNodeName === undefined,
    });
    const driver = new StreamDriver(graph, filter, { ...params, lowest, wasReadOnly });
    const { speed, autoFinalize, autoDismiss } = params;
    const job = await jobs.createAttached(driver, { id, speed, autoFinalize, autoDismiss });
    job.start();
    // A job without work is over before anybody is answered.
    if (lowest === node.skipFilters()) await job.reaction();
    return job;
  } catch (error) {
    if (wasReadOnly && !node.readOnly) await graph.setReadOnly(node, true);
    throw error;
  }
}

class StreamDriver implements JobDriver {
  readonly type = 'stream';
  readonly isBlockJob = true;
  private readonly node: BlockNode;
  /** The node's image itself, below filters. */
  private readonly image: BlockNode;
  private readonly loop: ChunkLoop;
  private holds: NodeHolds | undefined;
  private reader: BlockBackend | undefined;
  /** Of an error that was ignored: in the end the job fails with it. */
  private firstError: BlockError | undefined;

  constructor(
    private readonly graph: BlockGraph,
    private readonly filter: InsertedFilter<CopyOnRead>,
    private readonly params: StreamParams & { lowest: BlockNode; wasReadOnly: boolean },
  ) {
    this.node = params.node;
    this.image = params.node.skipFilters();
    this.loop = new ChunkLoop(graph.platform.clock);
    this.node.ref();
  }

  /** Errors: a permission conflict. */
  async attach(job: Job): Promise<void> {
    const { filter, node, params } = this;
    const reading = Perm.consistentRead | Perm.writeUnchanged;
    this.holds = new NodeHolds(job);
    await this.holds.holdFilter(filter.node, 'main node', Perm.none, Perm.all);
    this.reader = await BlockBackend.attach(filter.node, {
      name: 'root',
      description: '',
      perm: Perm.consistentRead,
      shared: reading | Perm.write,
    });
    this.reader.isBulk = this.reader.ignoreDrain = true;
    await this.holds.hold(node, 'active node', Perm.none, reading | Perm.write);
    for (const below of chainFrom(nextInChain(node), nextInChain(params.lowest))) {
      await this.holds.hold(below, 'intermediate node', Perm.none, reading);
    }
  }

  get edges(): readonly BlockBackend[] {
    return this.holds?.edges ?? [];
  }

  interrupt(): void {
    this.loop.interrupt();
  }

  async run(job: Job): Promise<void> {
    if (this.image === this.params.lowest) return;
    await this.loop.run(job, this.node.length, (offset, bytes) => this.step(job, offset, bytes));
    if (this.firstError) throw this.firstError;
  }

  private async step(job: Job, offset: number, bytes: number): Promise<Chunk> {
    let found: Chunk = { bytes, copied: true };
    try {
      found = await this.look(offset, bytes);
      if (found.copied) await this.copy(offset, found.bytes);
      return found;
    } catch (error) {
      const failure = asBlockError(error);
      // A write of a cancelled job is nobody's concern.
      const action = job.handleError('read', this.params.onError, failure);
      if (action === 'stop') return { bytes: 0, copied: false };
      this.firstError ??= failure;
      if (action === 'report') throw failure;
      return found;
    }
  }

  private copy(offset: number, bytes: number): Promise<void> {
    const told = { node: this.image.name, offset, bytes, content: 'data' };
    return measure(copyPiece, told, () => this.filter.driver.prefetch(offset, bytes));
  }

  /** Whether the start of the range has to be copied, and how much of it is like that. */
  private async look(offset: number, bytes: number): Promise<Chunk> {
    const { image, params } = this;
    const own = await blockStatus(image, offset, bytes, false);
    if (own.allocated) return { bytes: own.bytes, copied: false };
    const below = image.backing()!; // the lowest layer is another
    const above = await isAllocatedAbove(below, params.lowest, true, offset, own.bytes);
    // Past the end of all that is below there is nothing more.
    const found = above.bytes > 0 ? above.bytes : this.node.length - offset;
    return { bytes: found, copied: above.allocated };
  }

  /** The chain gets shorter: nothing needs what was copied out of it any more. */
  async prepare(): Promise<void> {
    const { graph, image, params } = this;
    const backing = nextInChain(params.lowest);
    const hasChanged = image !== params.lowest || image.backing() !== undefined;
    // Attached before the job was started. As a request: drained sections wait for it.
    if (hasChanged) await this.reader!.request(0, 0, () => this.renameBacking(backing?.skipFilters()));
    await this.dropFilter();
    if (!hasChanged) return;
    await image.drainBegin();
    try {
      await graph.setBacking(image, backing);
    } finally {
      image.drainEnd();
    }
  }

  /**
   * While guests go on: the image reads as before with what is left of the chain. What it is to do without must be safe in it
   * first; if that fails, the chain stays as it is.
   */
  private async renameBacking(base: BlockNode | undefined): Promise<void> {
    const { image, params } = this;
    await image.flush();
    const name = base && (params.backingFile ?? filenameOf(base));
    await image.driver.changeBackingFile?.(name, base && backingFormat(base, params.maskProtocol));
  }

  /** The links of the chain can be changed again, by this job alone. */
  private async dropFilter(): Promise<void> {
    this.filter.driver.releaseChain();
    await this.reader?.close();
    await this.holds?.close();
    await this.filter.remove();
  }

  async clean(): Promise<void> {
    const { graph, node, params } = this;
    await this.dropFilter();
    await this.holds?.release();
    // Another job may write to it by now.
    if (params.wasReadOnly && !node.readOnly) await graph.setReadOnly(node, true).catch(() => {});
    await graph.unref(node);
  }
}
