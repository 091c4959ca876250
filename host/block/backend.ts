/**
 * A root user of the graph: what a tool, a job, an export or a device holds on to (QEMU's BlockBackend).
 *
 * It checks requests against the node's length, counts them, and holds them back while its node is drained. Its
 * edge carries its permissions. With `writethrough` every write is made durable before it completes.
 */
import { BlockError } from '../base/errors.ts';
import type { TruncateOptions, WriteFlags, ZeroFlags } from './driver.ts';
import type { Edge, EdgeParent } from './edge.ts';
import type { BlockNode } from './node.ts';

export interface BackendUser {
  /** The edge's name: `root`, `target`, `source`. */
  name: string;
  /** As messages call the user: `backup job 'j0'`. */
  description: string;
  perm: number;
  shared: number;
  /** Called when the node is drained and released again: jobs pause by it. */
  onDrain?: { begin(): void; end(): void; whenIdle?(): Promise<void> };
}

export class BlockBackend implements EdgeParent {
  writethrough = false;
  /** Writes may go past the end and make the node longer: for those who write an image's file. */
  allowWriteBeyondEnd = false;
  /** Let requests through while the node is drained: for a job that works inside its own drained section. */
  ignoreDrain = false;
  private attached: Edge | undefined;
  private inFlight = 0;
  private quiesceCount = 0;
  private idleWaiters: (() => void)[] = [];
  private heldBack: (() => void)[] = [];

  private constructor(private readonly user: BackendUser) {}

  /** Takes a reference of its own on `node`. Errors: a permission conflict. */
  static async attach(node: BlockNode, user: BackendUser): Promise<BlockBackend> {
    const backend = new BlockBackend(user);
    backend.attached = await node.graph.attach(backend, node, {
      name: user.name,
      role: 'image',
      perm: user.perm,
      shared: user.shared,
    });
    return backend;
  }

  get edge(): Edge {
    if (!this.attached) throw new BlockError('ENOMEDIUM', `${this.user.description} has no medium`);
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
    return this.user.description;
  }

  async read(offset: number, buffer: Uint8Array): Promise<void> {
    if (this.quiesceCount > 0) await this.whenResumed();
    this.checkRange(offset, buffer.length);
    this.inFlight++;
    try {
      await this.edge.read(offset, buffer);
    } finally {
      this.finished();
    }
  }

  async write(offset: number, buffer: Uint8Array, flags: WriteFlags = {}): Promise<void> {
    await this.request(offset, buffer.length, () => this.edge.write(offset, buffer, this.durability(flags)));
  }

  async writeCompressed(offset: number, buffer: Uint8Array): Promise<void> {
    await this.request(offset, buffer.length, () => this.edge.writeCompressed(offset, buffer));
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

  async truncate(length: number, options?: TruncateOptions): Promise<void> {
    await this.request(0, 0, () => this.edge.truncate(length, options));
  }

  /** Runs any other work on the node as a request: it is waited for by drain, and held back by it. */
  async request(offset: number, bytes: number, act: () => Promise<void>): Promise<void> {
    if (this.quiesceCount > 0) await this.whenResumed();
    this.checkRange(offset, bytes);
    this.inFlight++;
    try {
      await act();
    } finally {
      this.finished();
    }
  }

  async setPermissions(perm: number, shared: number): Promise<void> {
    await this.node.graph.setPermissions(this.edge, perm, shared);
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
    this.user.onDrain?.begin();
  }

  drainedEnd(): void {
    this.quiesceCount--;
    this.user.onDrain?.end();
    if (this.quiesceCount > 0) return;
    const waiting = this.heldBack;
    this.heldBack = [];
    for (const resume of waiting) resume();
  }

  async whenIdle(): Promise<void> {
    while (this.inFlight > 0) await new Promise<void>((resolve) => this.idleWaiters.push(resolve));
    await this.user.onDrain?.whenIdle?.();
  }

  private async whenResumed(): Promise<void> {
    while (this.quiesceCount > 0 && !this.ignoreDrain) {
      await new Promise<void>((resolve) => this.heldBack.push(resolve));
    }
  }

  private durability<F extends WriteFlags>(flags: F): F {
    return this.writethrough ? { ...flags, fua: true } : flags;
  }

  private checkRange(offset: number, bytes: number): void {
    if (offset >= 0 && bytes >= 0 && (offset + bytes <= this.length || this.allowWriteBeyondEnd)) return;
    throw new BlockError('EIO');
  }

  private finished(): void {
    this.inFlight--;
    if (this.inFlight > 0 || this.idleWaiters.length === 0) return;
    const waiters = this.idleWaiters;
    this.idleWaiters = [];
    for (const wake of waiters) wake();
  }
}
