/**
 * A root user of the graph: what a tool, a job, an export or a device holds on to (QEMU's BlockBackend).
 *
 * It checks requests against the node's length, counts them, and holds them back while its node is drained. Its
 * edge carries its permissions. With `writethrough` every write is made durable before it completes.
 */

import { assert } from '../base/assert.ts';
import { BlockError } from '../base/errors.ts';
import { settled } from '../base/settled.ts';
import { Waiters } from '../base/waiters.ts';
import { blockRead } from '../trace/events.ts';
import type { SourceRange, TruncateOptions, WriteFlags, ZeroFlags } from './driver.ts';
import type { Edge, EdgeParent } from './edge.ts';
import type { OnError } from './error-policy.ts';
import type { BlockGraph } from './graph.ts';
import { unmeasured } from './guest-latency.ts';
import type { BlockNode } from './node.ts';
import type { MediumFlags } from './open-context.ts';
import { readNow } from './read-now.ts';
import { BlockStatistics } from './statistics.ts';

/** Who uses a node, and what for: what it does to the data, and what it lets others do (`Perm`). */
export interface BackendUser {
  /** The edge's name: `root`, `target`, `source`. */
  name: string;
  /** As messages call the user: `backup job 'j0'`. */
  description: string;
  perm: number;
  shared: number;
  /** The job whose edge this really is: queries show it as such. */
  job?: object;
  /** Called when the node is drained and released again: jobs pause by it. */
  onDrain?: { begin(): void; end(): void; whenIdle?(): Promise<void> };
}

/** What a throttle group offers its members (specification: throttling, section 4). */
export interface Throttle {
  /** Settles when the group has room for the request. */
  admit(kind: 'read' | 'write', bytes: number): Promise<void>;
  /** Limits are off in between: what waits goes ahead. */
  drainBegin(): void;
  drainEnd(): void;
  /** There will be no more requests, and none is waiting. */
  leave(): void;
}

/** What happens to a device's failed request (specification: graph, section 9). */
interface ErrorPolicies {
  read: OnError;
  write: OnError;
}

/** A device that has the backend as its disk. */
export interface AttachedDevice {
  /** Its id, or else its path: as messages, events and `qdev` of query-block call it. */
  readonly name: string;
  /** Path in the object model. */
  readonly path: string;
  readonly isRemovable: boolean;
  /** Undefined: a device without a tray. */
  readonly isTrayOpen?: boolean | undefined;
  readonly isLocked: boolean;
  /** Whether io-status means anything to it. */
  readonly hasIoStatus: boolean;
  /** The medium was put in or taken out, or the length changed. */
  mediumChanged?(): void;
}

interface BackendOptions {
  /** Empty: none. */
  name: string;
  perm: number;
  shared: number;
}

/** A request that has failed, and what came of it. */
interface RequestFailure {
  readonly operation: 'read' | 'write';
  readonly action: 'report' | 'ignore' | 'stop';
  readonly error: BlockError;
}

/** A user of a node that is none itself: a program, a device, a job. Reads, writes and flushes; what fails is a BlockError. */
export class BlockBackend implements EdgeParent {
  /** Counts the backends of a graph: queries list them in the order in which they were made. */
  readonly serial: number;
  /** Under which commands find it as a `device`; empty for most. */
  readonly name: string;
  writethrough = false;
  /** Set while a throttle group limits it. */
  throttle: Throttle | undefined;
  errorPolicies: ErrorPolicies = { read: 'report', write: 'enospc' };
  ioStatus: 'ok' | 'failed' | 'nospace' = 'ok';
  /** The last request of its device that has failed since the machine was told to go on. */
  failure: RequestFailure | undefined;
  device: AttachedDevice | undefined;
  /** How the last medium was open, or the first one is to be. */
  lastMedium: MediumFlags | undefined;
  /** There from the first use: only devices count what they do. */
  private counted: BlockStatistics | undefined;
  /** Writes may go past the end and make the node longer: for those who write an image's file. */
  allowWriteBeyondEnd = false;
  /** Let requests through while the node is drained: for a job that works inside its own drained section. */
  ignoreDrain = false;
  /** Of a job that copies: how long its requests take is no guest's concern. */
  isBulk = false;
  private attached: Edge | undefined;
  private inFlight = 0;
  private readonly idleWaiters = new Waiters();
  private quiesceCount = 0;
  private readonly heldBack = new Waiters();

  private constructor(
    private readonly graph: BlockGraph,
    private user: BackendUser,
    name = '',
  ) {
    this.name = name;
    this.serial = graph.backends.nextSerial();
  }

  /**
   * A user without a medium, listed among the graph's backends until `delete`. Errors: a malformed name, or one that
   * another backend or a node has.
   */
  static create(graph: BlockGraph, { name, perm, shared }: BackendOptions): BlockBackend {
    if (name !== '') graph.checkBackendName(name);
    const user = { name: 'root', description: '', perm, shared };
    const backend = new BlockBackend(graph, user, name);
    graph.backends.add(backend);
    return backend;
  }

  /** Gives it `node` as its medium, which it references. Errors: a permission conflict. */
  async insert(node: BlockNode): Promise<void> {
    assert(!this.attached, `${this.describe()} has a medium`);
    const { name, perm, shared } = this.user;
    this.attached = await this.graph.attach(this, node, { name, role: 'image', perm, shared });
    this.device?.mediumChanged?.();
  }

  /**
   * Uses `node` in place of its medium from now on, with the same permissions; nothing is on its way meanwhile. Errors:
   * a permission conflict, and it goes on as before.
   */
  async exchange(node: BlockNode): Promise<void> {
    const { edge } = this;
    const nodes = [edge.node, node];
    if (edge.node === node) return;
    for (const one of nodes) one.drainedBegin();
    try {
      for (const one of nodes) await one.whenIdle();
      await this.graph.change((change) => change.moveEdge(edge, node));
    } finally {
      for (const one of nodes) one.drainedEnd();
    }
    this.device?.mediumChanged?.();
  }

  /** Takes the medium out once its requests are over. Harmless without one. */
  async remove(): Promise<void> {
    await this.close();
    this.device?.mediumChanged?.();
  }

  /** Takes the medium out and forgets the name. */
  async delete(): Promise<void> {
    this.graph.backends.remove(this);
    await this.close();
    this.throttle?.leave();
    this.throttle = undefined;
  }

  /** The job that it belongs to, as one of its edges. */
  get job(): object | undefined {
    return this.user.job;
  }

  get hasMedium(): boolean {
    return this.attached !== undefined;
  }

  get statistics(): BlockStatistics {
    this.counted ??= new BlockStatistics(this.graph.platform.clock);
    return this.counted;
  }

  /** Takes a reference of its own on `node`. Errors: a permission conflict. */
  static async attach(node: BlockNode, user: BackendUser): Promise<BlockBackend> {
    const backend = new BlockBackend(node.graph, user);
    backend.attached = await node.graph.attach(backend, node, {
      name: user.name,
      role: 'image',
      perm: user.perm,
      shared: user.shared,
    });
    return backend;
  }

  get edge(): Edge {
    if (!this.attached) throw new BlockError('ENOMEDIUM');
    return this.attached;
  }

  get node(): BlockNode {
    return this.edge.node;
  }

  /** Bytes, rounded up to 512. */
  get length(): number {
    return this.edge.node.length;
  }

  getByteLength(): Promise<number> {
    return this.edge.getByteLength();
  }

  describe(): string {
    const name = this.name || this.device?.name;
    if (name) return `block device '${name}'`;
    return this.user.description || 'an unnamed block device';
  }

  read(offset: number, buffer: Uint8Array): Promise<void> {
    // Those who watch see requests go their whole way.
    if (!blockRead.enabled && this.readNow(offset, buffer)) {
      // It took no time worth measuring, but it counts.
      this.graph.guestLatency.end(this.begin(buffer.length));
      return settled;
    }
    return this.requestInTurn(offset, buffer.length, () => this.edge.read(offset, buffer), 'read');
  }

  /**
   * As `read`, done when it returns. False: that cannot be, whatever the reason, `read` is to be used, and part of
   * `buffer` may have changed.
   */
  readNow(offset: number, buffer: Uint8Array): boolean {
    if (!this.attached || this.quiesceCount > 0 || this.throttle || offset < 0) return false;
    try {
      return readNow(this.attached, offset, buffer);
    } catch {
      return false;
    }
  }

  write(offset: number, buffer: Uint8Array, flags: WriteFlags = {}): Promise<void> {
    return this.request(offset, buffer.length, () => this.edge.write(offset, buffer, this.durability(flags)));
  }

  async writeCompressed(offset: number, buffer: Uint8Array): Promise<void> {
    await this.request(offset, buffer.length, () => this.edge.writeCompressed(offset, buffer));
  }

  /** As that of an edge (edge.ts). */
  async copyRange(offset: number, source: SourceRange): Promise<void> {
    await this.request(offset, source.bytes, async () => {
      await this.edge.copyRange(offset, source);
      if (this.writethrough) await this.edge.flush();
    });
  }

  async writeZeroes(offset: number, bytes: number, flags: ZeroFlags = {}): Promise<void> {
    await this.request(offset, bytes, () => this.edge.writeZeroes(offset, bytes, this.durability(flags)));
  }

  async discard(offset: number, bytes: number): Promise<void> {
    await this.request(offset, bytes, () => this.edge.discard(offset, bytes));
  }

  async flush(): Promise<void> {
    await this.request(0, 0, () => this.edge.flush());
  }

  /** Everything written before outlives this process; only `flush` makes it durable. */
  async writeOut(): Promise<void> {
    await this.request(0, 0, () => this.edge.writeOut());
  }

  async truncate(length: number, options?: TruncateOptions): Promise<void> {
    await this.request(0, 0, () => this.edge.truncate(length, options));
  }

  /** Runs any other work on the node as a request: it is waited for by drain, and held back by it. */
  request(offset: number, bytes: number, act: () => Promise<void>): Promise<void> {
    if (!this.attached || this.quiesceCount > 0 || this.throttle || !this.isInRange(offset, bytes))
      return this.requestInTurn(offset, bytes, act);
    const startNs = this.begin(bytes);
    const acted = act();
    // Nobody ran meanwhile who could have waited for it.
    if (acted !== settled) return this.underWay(startNs, acted);
    this.graph.guestLatency.end(startNs);
    return settled;
  }

  private async requestInTurn(
    offset: number,
    bytes: number,
    act: () => Promise<void>,
    kind: 'read' | 'write' = 'write',
  ): Promise<void> {
    if (this.quiesceCount > 0) await this.whenResumed();
    if (!this.isInRange(offset, bytes)) throw new BlockError('EIO');
    const startNs = this.begin(bytes);
    const { throttle } = this;
    await this.underWay(startNs, throttle && bytes > 0 ? throttle.admit(kind, bytes).then(act) : act());
  }

  /** What is not about data takes the time that it takes. */
  private begin(bytes: number): number {
    return this.isBulk || bytes === 0 ? unmeasured : this.graph.guestLatency.begin();
  }

  private async underWay(startNs: number, acted: Promise<void>): Promise<void> {
    this.inFlight++;
    try {
      await acted;
    } finally {
      this.graph.guestLatency.end(startNs);
      if (--this.inFlight === 0) this.idleWaiters.wake();
    }
  }

  async setPermissions(perm: number, shared: number): Promise<void> {
    if (this.attached) await this.graph.setPermissions(this.attached, perm, shared);
    this.user = { ...this.user, perm, shared };
  }

  /** Waits for its requests, then drops its reference. Harmless when closed before. */
  async close(): Promise<void> {
    const edge = this.attached;
    if (!edge) return;
    await this.whenIdle();
    this.attached = undefined;
    await edge.node.graph.detach(edge);
  }

  drainedBegin(): void {
    this.quiesceCount++;
    this.throttle?.drainBegin();
    this.user.onDrain?.begin();
  }

  drainedEnd(): void {
    this.quiesceCount--;
    this.throttle?.drainEnd();
    this.user.onDrain?.end();
    if (this.quiesceCount === 0) this.heldBack.wake();
  }

  async whenIdle(): Promise<void> {
    while (this.inFlight > 0) await this.idleWaiters.wait();
    await this.user.onDrain?.whenIdle?.();
  }

  private async whenResumed(): Promise<void> {
    while (this.quiesceCount > 0 && !this.ignoreDrain) await this.heldBack.wait();
  }

  private durability<F extends WriteFlags>(flags: F): F {
    return this.writethrough ? { ...flags, fua: true } : flags;
  }

  private isInRange(offset: number, bytes: number): boolean {
    return offset >= 0 && bytes >= 0 && (offset + bytes <= this.length || this.allowWriteBeyondEnd);
  }
}
