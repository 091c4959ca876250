/**
 * An edge of the block graph: a parent's handle on a child node. Every request goes through one, and so does every
 * permission: an edge is the only way to reach a node's data.
 *
 * A parent is another node, or a root user: a tool, a job, an export, a device (backend.ts).
 */
import {
  blockCopyRange,
  blockDiscard,
  blockRead,
  blockTruncate,
  blockWrite,
  blockWriteCompressed,
  blockWriteOut,
  blockWriteZeroes,
} from '../trace/events.ts';
import type { DebugEvent } from './debug-events.ts';
import type { DataPlace, Driver, SourceRange, TruncateOptions, WriteFlags, ZeroFlags } from './driver.ts';
import type { BlockNode } from './node.ts';
import type { OpBlocker } from './op-blockers.ts';
import { dispatcher } from './request.ts';
import { watched } from './request-trace.ts';
import { writeAtOnce } from './write-at-once.ts';

/**
 * What the child is to its parent, which settles the default permissions: `file` stores data and metadata of a
 * format, `metadata` and `data` one of them; `filtered` is passed through; `cow` is a backing file; `image` is any other.
 */
export type ChildRole = 'file' | 'data' | 'metadata' | 'filtered' | 'cow' | 'image';

/** Who holds an edge. Draining a node stops its parents from issuing requests (specification: graph, section 8). */
export interface EdgeParent {
  /** How messages call it: `node 'x'`, `backup job 'j0'`. */
  describe(): string;
  /** A node, and not a root user. */
  readonly isNode?: true;
  /** Of a node or a device; absent or empty for everybody else. */
  readonly name?: string;
  /** The job that holds it, for a job's edges. */
  readonly job?: object | undefined;
  /** Stop issuing requests; nests. */
  drainedBegin(): void;
  drainedEnd(): void;
  /** Settles when no request of this parent is in flight; called after drainedBegin. */
  whenIdle(): Promise<void>;
  /** The child's length changed. */
  childResized?(): Promise<void>;
}

export class Edge implements DataPlace {
  perm = 0;
  shared = 15;
  /** What a backing edge blocks on its node. */
  blocker: OpBlocker | undefined;
  /** How many jobs rely on this edge as it is (specification: graph, section 8). */
  frozen = 0;
  /** The child's driver when it listens to debug events. Looked up when the edge comes to its node. */
  debugged: Driver | undefined;
  private exclusion: 'reads' | 'writes' | undefined;

  /** Not for callers: `BlockGraph.attach` makes edges, with the permission check that belongs to it. */
  constructor(
    readonly name: string,
    readonly role: ChildRole,
    readonly parent: EdgeParent,
    public node: BlockNode,
  ) {}

  get plain(): Edge {
    return this;
  }

  /** The parent, when it is a node and no root user. */
  get parentNode(): BlockNode | undefined {
    return this.parent.isNode ? (this.parent as BlockNode) : undefined;
  }

  /**
   * What this edge keeps away from the ranges it works on. `reads`: its writes wait for overlapping reads of the node
   * and hold up later ones. `writes`: its parent takes `populateLocks` of the node, which writes respect from now on.
   */
  get excludes(): 'reads' | 'writes' | undefined {
    return this.exclusion;
  }

  /** Settles when no request is in flight that knows nothing of the exclusion. Once in the life of an edge. */
  async exclude(what: 'reads' | 'writes'): Promise<void> {
    const { node } = this;
    await node.drainBegin();
    this.exclusion = what;
    this.countExclusion(1);
    node.drainEnd();
  }

  /** The edge now leads (1) or no longer leads (-1) to its node. */
  countExclusion(change: 1 | -1): void {
    if (this.exclusion === 'writes') this.node.populateLocks.users += change;
    else if (this.exclusion === 'reads') this.node.readLocks.users += change;
  }

  /** Tells the child what its parent is about to do; whoever listens may hold it. */
  debugEvent(event: DebugEvent): Promise<void> | undefined {
    return this.debugged?.debugEvent?.(event);
  }

  /** Bytes, rounded up to 512. */
  get length(): number {
    return this.node.length;
  }

  /** The exact length in bytes, asked of the driver. */
  getByteLength(): Promise<number> {
    return this.node.driver.getLength();
  }

  /** What lies past the end of the node reads as zero. */
  read(offset: number, buffer: Uint8Array): Promise<void> {
    return blockRead.enabled ? watched.read(this, offset, buffer) : dispatcher.read(this, offset, buffer);
  }

  write(offset: number, buffer: Uint8Array, flags: WriteFlags = {}): Promise<void> {
    if (blockWrite.enabled) return watched.write(this, offset, buffer, flags);
    return writeAtOnce(this, offset, buffer, flags) ?? dispatcher.write(this, offset, buffer, flags);
  }

  /** Exactly one cluster of a format that compresses; the last cluster of the node may be short. */
  writeCompressed(offset: number, buffer: Uint8Array): Promise<void> {
    return blockWriteCompressed.enabled
      ? watched.writeCompressed(this, offset, buffer)
      : dispatcher.writeCompressed(this, offset, buffer);
  }

  /** Writes what lies elsewhere without its coming here. Errors: ENOTSUP, and whoever asked reads and writes. */
  copyRange(offset: number, source: SourceRange): Promise<void> {
    return blockCopyRange.enabled
      ? watched.copyRange(this, offset, source)
      : dispatcher.copyRange(this, offset, source);
  }

  writeZeroes(offset: number, bytes: number, flags: ZeroFlags = {}): Promise<void> {
    return blockWriteZeroes.enabled
      ? watched.writeZeroes(this, offset, bytes, flags)
      : dispatcher.writeZeroes(this, offset, bytes, flags);
  }

  /** A hint: does nothing unless the node was opened with discard=unmap. */
  discard(offset: number, bytes: number): Promise<void> {
    return blockDiscard.enabled
      ? watched.discard(this, offset, bytes)
      : dispatcher.discard(this, offset, bytes);
  }

  /** Everything written before is durable afterwards, unless the node was opened with cache.no-flush. */
  flush(): Promise<void> {
    return this.node.flush();
  }

  /** Everything written before is in the file afterwards, metadata included: it outlives this process, if not more. */
  writeOut(): Promise<void> {
    return blockWriteOut.enabled ? watched.writeOut(this.node) : dispatcher.writeOut(this.node);
  }

  /** Changes the length; needs the resize permission. */
  truncate(length: number, options: TruncateOptions = { preallocation: 'off' }): Promise<void> {
    return blockTruncate.enabled
      ? watched.truncate(this, length, options)
      : dispatcher.truncate(this, length, options);
  }
}
