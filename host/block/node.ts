/**
 * A node of the block graph: an open driver with its children, its parents and what is known about it.
 *
 * A node lives as long as somebody references it: every edge that leads to it counts one, and so does whoever opened
 * it. `drainBegin` … `drainEnd` brackets a section in which no request reaches the node: its parents stop issuing,
 * all the way up, and what was in flight has finished.
 */
import { assert } from '../base/assert.ts';
import { Attachments } from '../base/attachments.ts';
import { invalid } from '../base/errors.ts';
import { wholeSectors } from '../base/sectors.ts';
import { Waiters } from '../base/waiters.ts';
import type { Checked } from '../qapi/types.ts';
import { blockFlush, drainBegin, drainEnd } from '../trace/events.ts';
import type { Driver, DriverDefinition } from './driver.ts';
import type { Edge, EdgeParent } from './edge.ts';
import type { BlockGraph } from './graph.ts';
import { OpBlockers } from './op-blockers.ts';
import type { OpenFlags } from './open-context.ts';
import type { NodeOptions } from './options.ts';
import { RangeLocks } from './range-locks.ts';
import { dispatcher } from './request.ts';
import { watched } from './request-trace.ts';

/** Whoever wants to know which data changed: dirty bitmaps. */
export interface WriteObserver {
  /**
   * Called before a request changes the range; it waits for what is returned. Errors fail it. `onWrite` follows, unless
   * this fails.
   */
  beforeWrite?(offset: number, bytes: number): Promise<void> | undefined;
  /** Called when a request that may have changed the range is over, failed ones included. */
  onWrite(offset: number, bytes: number): void;
  /** Throws when the length must stay as it is. */
  beforeResize?(): void;
  onResize?(length: number): void;
}

/** A node of the graph: a driver and what it has opened. Parents reach it by edges; programs use it by a `BlockBackend`. */
export class BlockNode implements EdgeParent {
  readonly isNode = true;
  /** Set once, by opening; every node that others can see has it. */
  driver!: Driver;
  readonly children = new Map<string, Edge>();
  readonly parents = new Set<Edge>();
  /** What upper layers keep with it. */
  readonly attachments = new Attachments<BlockNode>(this);
  readonly writeObservers = new Set<WriteObserver>();
  readonly opBlockers = new OpBlockers(() => this.graph.deviceOrNodeName(this));
  /** In-flight requests that must exclude overlapping writes: read-modify-write. */
  readonly rangeLocks = new RangeLocks();
  /** Held shared by writes, and alone by whoever copies unchanged data up from below: copy-on-read. */
  readonly populateLocks = new RangeLocks();
  /** Held shared by reads, and alone by writes through an edge that `excludes` reads. */
  readonly readLocks = new RangeLocks();
  /** The options as given, children included: for whoever shows them. */
  options: NodeOptions = {};
  /** What the driver got of them. */
  own: Checked<object> | undefined;
  /** What the driver had as `backing` when that was opened, until the image names another, and the file name of what it led to. */
  openedBacking: { named: object; filename: string } | undefined;
  /** Children that are files which the image itself is made of: no option says what they are. */
  readonly namedFiles = new Set<string>();
  /** The file name without options, when one says everything: see filename.ts. */
  exactFilename: string | undefined;
  /** The parent that opened it as its own, and whose way of being open it follows. */
  inheritsFrom: BlockNode | undefined;
  /** Added by blockdev-add and not yet deleted by blockdev-del. */
  monitorOwned = false;
  /** Inserted by a command on its own account: queries skip it. */
  implicit = false;
  /** It stands for an option of the node below, and is no node to those who ask for nodes. */
  isHidden = false;
  /** Guessed by its content to be raw: the first sector must not become another format's header. */
  probedRaw = false;
  /** Whether the format of an image that starts with `head` would be guessed to be raw. */
  looksRaw: (head: Uint8Array) => boolean = () => true;
  /** In the order of opening; 0 until it is settled. */
  place = 0;
  references = 0;

  /** One more holds on to it. Errors: nobody does any more, and it is being closed. */
  ref(): void {
    if (this.isClosing) throw invalid(`Cannot find device='' nor node-name='${this.name}'`);
    this.references++;
  }

  /** Nobody holds on to it any more. */
  get isClosing(): boolean {
    return this.references === 0;
  }

  closed = false;

  /** Counts changes; equal to `flushedGeneration` when nothing needs a flush. */
  writeGeneration = 0;
  flushedGeneration = 0;
  /** End of the highest write so far, for `query-blockstats`. */
  highestWriteOffset = 0;

  private byteLength = 0;
  private roundedLength = 0;
  /** A plain number, as in the backend: every request counts itself twice. */
  private inFlight = 0;
  private readonly idleWaiters = new Waiters();
  private quiesceCount = 0;

  constructor(
    readonly graph: BlockGraph,
    readonly name: string,
    readonly definition: DriverDefinition,
    readonly flags: OpenFlags,
  ) {}

  describe(): string {
    return `node '${this.name}'`;
  }

  get readOnly(): boolean {
    return this.flags.readOnly;
  }

  /** Bytes, rounded up to 512; the rest of the last sector reads as zero. */
  get length(): number {
    return this.roundedLength;
  }

  /** Bytes, as the driver counted them last. */
  get exactLength(): number {
    return this.byteLength;
  }

  async refreshLength(): Promise<void> {
    const length = await this.driver.getLength();
    if (length === this.byteLength) return;
    this.setLength(length);
    for (const edge of this.parents) await edge.parent.childResized?.();
  }

  childResized(): Promise<void> {
    return this.refreshLength();
  }

  /** A write ended past the end: the file grew by it. */
  growTo(length: number): void {
    if (length > this.byteLength) this.setLength(length);
  }

  private setLength(length: number): void {
    this.byteLength = length;
    const before = this.roundedLength;
    this.roundedLength = wholeSectors(length);
    if (this.roundedLength === before) return;
    for (const observer of this.writeObservers) observer.onResize?.(this.roundedLength);
  }

  backing(): BlockNode | undefined {
    const edge = this.children.get('backing');
    // Some filters call what they filter so.
    return edge?.role === 'cow' ? edge.node : undefined;
  }

  /** The child that a filter passes through, undefined for anything else. */
  filtered(): BlockNode | undefined {
    return this.definition.kind === 'filter' ? this.chainEdge()?.node : undefined;
  }

  /** The link to the next node of the chain: what a filter passes through, or the backing file. */
  chainEdge(): Edge | undefined {
    if (this.definition.kind !== 'filter') return this.children.get('backing');
    for (const edge of this.children.values()) if (edge.role === 'filtered') return edge;
    return undefined;
  }

  /** The first node at or below this one that somebody asked for. */
  skipImplicit(): BlockNode {
    let node: BlockNode = this;
    for (let below = node.filtered(); node.implicit && below; below = node.filtered()) node = below;
    return node;
  }

  /** The first node at or below this one that is not a filter. */
  skipFilters(): BlockNode {
    let node: BlockNode = this;
    for (let below = node.filtered(); below; below = node.filtered()) node = below;
    return node;
  }

  /** The child that stores this format's image. */
  primaryChild(): Edge | undefined {
    return this.children.get('file') ?? this.children.get('image');
  }

  // Requests in flight, and draining.

  requestBegin(): void {
    this.inFlight++;
  }

  requestEnd(): void {
    if (--this.inFlight === 0) this.idleWaiters.wake();
  }

  get isDrained(): boolean {
    return this.quiesceCount > 0;
  }

  drainedBegin(): void {
    this.quiesceCount++;
    if (drainBegin.enabled) drainBegin.emit({ node: this.name });
    // A child may be drained while the node is being opened.
    if (this.quiesceCount === 1) (this.driver as Driver | undefined)?.drainChanged?.(true);
    for (const edge of this.parents) edge.parent.drainedBegin();
  }

  drainedEnd(): void {
    assert(this.quiesceCount > 0, `drain of node ${this.name} ended more often than begun`);
    this.quiesceCount--;
    if (drainEnd.enabled) drainEnd.emit({ node: this.name });
    if (this.quiesceCount === 0) (this.driver as Driver | undefined)?.drainChanged?.(false);
    for (const edge of this.parents) edge.parent.drainedEnd();
  }

  /** How often the parent of a new edge to this node has to be told to be quiet. */
  get drainDepth(): number {
    return this.quiesceCount;
  }

  async whenIdle(): Promise<void> {
    // Parents first: what they have in flight comes down here. New parents may appear while waiting.
    for (;;) {
      for (const edge of [...this.parents]) await edge.parent.whenIdle();
      if (this.inFlight === 0) return;
      await this.idleWaiters.wait();
    }
  }

  /** Requests to it, and to what stores it, that wait for what may never come fail now. */
  cancelWaiting(): void {
    this.driver.cancelWaiting?.();
    for (const edge of this.children.values()) if (edge.role !== 'cow') edge.node.cancelWaiting();
  }

  /** Everything written to it before is durable afterwards, unless it was opened with cache.no-flush. */
  flush(): Promise<void> {
    return blockFlush.enabled ? watched.flush(this) : dispatcher.flush(this);
  }

  /** Settles when nothing above is in flight any more and nothing new will come until `drainEnd`. Nests. */
  async drainBegin(): Promise<void> {
    this.drainedBegin();
    await this.whenIdle();
  }

  drainEnd(): void {
    this.drainedEnd();
  }
}
