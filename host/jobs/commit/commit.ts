/**
 * The intermediate commit: data of layers in the middle of a chain moves down into a lower one, and the layers between
 * are no longer needed (specification: jobs, section 9). The commit of the active layer is a mirror: mirror/.
 *
 * When everything is in the base, the overlays of the top image get the base as their backing file, in the graph and in
 * their images. A job that ends otherwise leaves the chain as it is; what was copied into the base is what the layers
 * above it show anyway.
 */
import { asBlockError } from '../../base/errors.ts';
import { BlockBackend } from '../../block/backend.ts';
import { chainFrom } from '../../block/chain.ts';
import type { Edge } from '../../block/edge.ts';
import type { OnError } from '../../block/error-policy.ts';
import { backingFormat, filenameOf } from '../../block/filename.ts';
import type { BlockGraph } from '../../block/graph.ts';
import type { BlockNode } from '../../block/node.ts';
import { Perm } from '../../block/permissions.ts';
import { isAllocatedAbove } from '../../block/status.ts';
import { copyPiece } from '../../trace/events.ts';
import { measure } from '../../trace/measure.ts';
import type { BlockJobParams } from '../block-job.ts';
import { type Chunk, ChunkLoop, loopChunkBytes } from '../chunk-loop.ts';
import { InsertedFilter } from '../filter-insertion.ts';
import type { Job, JobDriver } from '../job.ts';
import type { JobRegistry } from '../job-registry.ts';
import { NodeHolds } from '../node-holds.ts';
import { CommitTop, commitTop } from './commit-top.ts';

export interface CommitParams extends BlockJobParams {
  /** The disk of whose chain the layers are. */
  device: BlockNode;
  top: BlockNode;
  base: BlockNode;
  /** What the overlays are to name as their backing file, instead of the base's own name. */
  backingFile: string | undefined;
  /** They are to call the format of a base that is a protocol `raw`. */
  maskProtocol?: boolean | undefined;
  onError: OnError;
}

/** Creates the job and starts it. Errors: BlockError; nothing is left behind. */
export async function startCommit(graph: BlockGraph, jobs: JobRegistry, params: CommitParams): Promise<Job> {
  const { device, speed, autoFinalize, autoDismiss } = params;
  const id = params.id ?? graph.deviceNameOf(device);
  const driver = new CommitDriver(graph, params);
  const job = await jobs.createAttached(driver, { id, speed, autoFinalize, autoDismiss });
  job.start();
  return job;
}

class CommitDriver implements JobDriver {
  readonly type = 'commit';
  readonly isBlockJob = true;
  private readonly top: BlockNode;
  private readonly base: BlockNode;
  private readonly loop: ChunkLoop;
  private holds: NodeHolds | undefined;
  private writer: BlockBackend | undefined;
  private reader: BlockBackend | undefined;
  private filter: InsertedFilter | undefined;
  private isFrozen = false;
  /** What is drained from now on is drained by the job itself, or does not concern it any more. */
  private isFinishing = false;
  /** The base is writable only as long as the job is there. */
  private readonly wasReadOnly: boolean;
  private readonly buffer = new Uint8Array(loopChunkBytes);

  constructor(
    private readonly graph: BlockGraph,
    private readonly params: CommitParams,
  ) {
    this.wasReadOnly = params.base.readOnly;
    this.top = params.top;
    this.base = params.base;
    this.loop = new ChunkLoop(graph.platform.clock);
    this.top.ref();
    this.base.ref();
  }

  /**
   * Puts the filter in and takes hold of the nodes. Errors: a base that cannot be written, a permission conflict, a link
   * that somebody else has frozen.
   */
  async attach(job: Job): Promise<void> {
    const { top, base, graph, params } = this;
    if (this.wasReadOnly) await graph.setReadOnly(base, false);
    const filter = await InsertedFilter.above(top, {
      driver: commitTop,
      driverClass: CommitTop,
      options: { backing: top },
      flags: { readOnly: true, discard: true },
      nodeName: params.filterNodeName,
      isImplicit: params.filterNodeName === undefined,
    });
    this.filter = filter;
    const writing = Perm.write | Perm.writeUnchanged;
    this.holds = new NodeHolds(job, { drainsItself: () => this.isFinishing });
    await this.holds.hold(params.device, 'main node', Perm.none, Perm.all);
    for (const node of chainFrom(top, base)) {
      // What only filters the base shows what is written to it, and is as consistent.
      const isBaseFiltered = node.skipFilters() === base.skipFilters();
      const shared = isBaseFiltered ? writing | Perm.consistentRead : writing;
      await this.holds.hold(node, 'intermediate node', Perm.none, shared);
    }
    graph.freezeChain(filter.node, base);
    this.isFrozen = true;
    await this.holds.hold(base, 'base', Perm.none, Perm.all);
    const user = { name: 'root', description: '' };
    const reading = Perm.consistentRead | Perm.writeUnchanged;
    this.writer = await BlockBackend.attach(base, {
      ...user,
      perm: Perm.consistentRead | Perm.write | (base.length < top.length ? Perm.resize : Perm.none),
      shared: reading,
    });
    this.reader = await BlockBackend.attach(top, { ...user, perm: Perm.none, shared: Perm.all });
    // Draining waits for the job, which must not be held back by it in the middle of a chunk.
    for (const backend of [this.writer, this.reader]) backend.isBulk = backend.ignoreDrain = true;
  }

  get edges(): readonly BlockBackend[] {
    return this.holds?.edges ?? [];
  }

  interrupt(): void {
    this.loop.interrupt();
  }

  async run(job: Job): Promise<void> {
    const { top, base } = this;
    const length = top.length;
    job.progress.expect(length);
    if (base.length < length) await this.writer!.truncate(length); // attached before the job was started
    await this.loop.run(job, length, (offset, bytes) => this.step(job, offset, bytes));
  }

  private async step(job: Job, offset: number, bytes: number): Promise<Chunk> {
    let operation: 'read' | 'write' = 'read';
    try {
      const found = await isAllocatedAbove(this.top, this.base, false, offset, bytes);
      if (!found.allocated) return { bytes: found.bytes || bytes, copied: false };
      const data = this.buffer.subarray(0, found.bytes);
      const copy = async (): Promise<void> => {
        await this.reader!.read(offset, data); // attached before the job was started, as is the writer
        operation = 'write';
        await this.writer!.write(offset, data); // as the reader
      };
      const told = { node: this.base.name, offset, bytes: found.bytes, content: 'data' };
      await measure(copyPiece, told, copy);
      return { bytes: found.bytes, copied: true };
    } catch (error) {
      const failure = asBlockError(error);
      if (job.handleError(operation, this.params.onError, failure) === 'report') throw failure;
      return { bytes: 0, copied: false };
    }
  }

  /** The overlays of top leave out what lies between them and the base. */
  async prepare(): Promise<void> {
    const { graph, base, params } = this;
    const filter = this.filter!; // attached before the job was started
    const { node } = filter;
    await this.writer?.flush();
    this.isFinishing = true;
    const overlays = [...node.parents].filter((edge) => edge.role === 'cow');
    const name = params.backingFile ?? filenameOf(base.skipFilters());
    await this.closeBackends();
    await node.drainBegin();
    await base.drainBegin();
    try {
      const format = backingFormat(base.skipFilters(), params.maskProtocol);
      for (const edge of overlays) await renameBacking(graph, edge, name, format);
      this.unfreeze();
      await graph.change((change) => {
        for (const edge of [...node.parents]) change.moveEdge(edge, base);
      });
    } finally {
      base.drainEnd();
      node.drainEnd();
    }
    await this.holds?.release();
    await filter.drop();
  }

  private async closeBackends(): Promise<void> {
    await this.reader?.close();
    await this.writer?.close();
  }

  private unfreeze(): void {
    if (this.isFrozen && this.filter) this.graph.unfreezeChain(this.filter.node, this.base);
    this.isFrozen = false;
  }

  async clean(): Promise<void> {
    const { graph, top, base } = this;
    this.isFinishing = true;
    await this.closeBackends();
    this.unfreeze();
    // Nothing new may start on the chain, and freeze it, before the filter is out of it.
    await this.holds?.close();
    await this.filter?.remove();
    await this.holds?.release();
    // Another job may write to it by now.
    if (this.wasReadOnly && !base.readOnly) await graph.setReadOnly(base, true).catch(() => {});
    await graph.unref(top);
    await graph.unref(base);
  }
}

/** Rewrites the header of the overlay that holds `edge`. A read-only overlay is written to for as long as that takes. */
async function renameBacking(graph: BlockGraph, edge: Edge, name: string, format: string): Promise<void> {
  const overlay = edge.parentNode!; // backing links lead from nodes
  await graph.whileWritable(overlay, async () => {
    await overlay.driver.changeBackingFile?.(name, format);
  });
}
