/**
 * The host's side of the qcow2 engine: does for the core what a step asked for, then lets the step go on
 * (specification: qcow2, sections 2, 4.7 and 10.7).
 *
 * All metadata I/O of an open image is here: loading tables, filling fresh L2 tables, writing back in the order that the
 * core says, counting freed clusters down, growing the refcount table. A step that waits is retried until it finishes;
 * a failed load, write or flush fails the requests that wait for it and leaves the tables as they were, dirty ones
 * dirty. After fatal corruption, or a trap in the core, every request fails with EIO until the image is opened again.
 *
 * It tells its file what it is about to do (block/debug-events.ts), as QEMU does where it does the same. Refcount blocks
 * and tables are only made in memory, L1 tables grow and shrink in one step, and clusters are counted one by one: the
 * events of QEMU's ways through that have no counterpart here. They are refblock_alloc, refblock_alloc_hookup,
 * refblock_alloc_write, l1_grow_alloc_table, l1_shrink_free_l2_clusters, l2_update_compressed, refblock_update (of whole
 * blocks; refblock_update_part is there) and empty_image_prepare.
 *
 * The result record is only good until the next step of anybody: it is read in the same synchronous stretch as the
 * step that left it.
 */
import { BlockError } from '../../../base/errors.ts';
import { Mutex } from '../../../base/mutex.ts';
import type { Edge } from '../../../block/edge.ts';
import type { OpenContext } from '../../../block/open-context.ts';
import { FreeReason, type Qcow2Core, StepError, Wait, Writeback } from '../../../core/qcow2.ts';
import { coreBusy } from '../../../trace/events.ts';
import { incompatible } from '../disk/feature-bits.ts';
import type { Qcow2Header } from '../disk/header.ts';
import { type HeaderChanges, updateHeader } from '../disk/header-update.ts';
import type { ResolvedOptions } from '../options.ts';
import { TableFile } from './table-file.ts';
import { TransferGate } from './transfer-gate.ts';

/** Words for the kinds of corruption that the core reports in record 4 (assembly/qcow2/refcount.ts). */
const corruptionTexts: Record<number, (at: string) => string> = {
  1: (at) => `Refblock offset ${at} unaligned`,
  2: (at) => `L2 table offset ${at} unaligned`,
  3: (at) => `Cluster allocation offset ${at} unaligned`,
  4: (at) => `Preventing invalid write on metadata (at offset ${at})`,
  5: (at) => `Refcount of the cluster at offset ${at} is wrong`,
  6: (at) => `Zero cluster entry found in pre-v3 image (guest offset ${at})`,
  7: (at) => `Preallocated zero cluster offset ${at} unaligned`,
};

interface Waiter {
  promise: Promise<void>;
  resolve(): void;
}

export class Qcow2Engine {
  readonly gate = new TransferGate();
  private readonly loads = new Map<number, Promise<void>>();
  private readonly tokenWaiters = new Map<number, Waiter>();
  private readonly headerUpdates = new Mutex();
  private runningWriteback: Promise<void> | undefined;
  /** The one that is running waits for the device. */
  private writebackIsDurable = true;
  private runningFrees: Promise<void> | undefined;
  private runningGrowth: Promise<void> | undefined;
  private readonly tables: TableFile;
  private failed = false;
  private markedDirty: boolean;

  constructor(
    readonly core: Qcow2Core,
    readonly file: Edge,
    public header: Qcow2Header,
    readonly options: ResolvedOptions,
    private readonly context: OpenContext,
  ) {
    this.tables = new TableFile(file, context.nodeName);
    this.markedDirty = (header.incompatibleFeatures & incompatible.dirty) !== 0n;
  }

  get steps(): Qcow2Core['exports'] {
    return this.core.exports;
  }

  /** Result record of the last step. */
  get record(): Float64Array {
    return this.core.record;
  }

  /** The first numbers of the record, to keep. */
  private results(): [number, number, number, number] {
    const { record } = this;
    return [record[0]!, record[1]!, record[2]!, record[3]!];
  }

  /** Throws when the image takes no more requests. */
  checkUsable(): void {
    if (this.failed) throw new BlockError('EIO');
  }

  /** Runs `attempt` until it gives something else than a wait code. It reads the record itself, at once. */
  async run<T extends object>(attempt: () => T | number): Promise<T> {
    for (;;) {
      this.checkUsable();
      const result = this.guarded(attempt);
      if (typeof result !== 'number') return result;
      await this.wait(result);
    }
  }

  /** The same for steps whose code says everything. */
  async runCode(step: () => number): Promise<number> {
    for (;;) {
      this.checkUsable();
      const code = this.guarded(step);
      if (code >= 0) return code;
      await this.wait(code);
    }
  }

  /** Calls into the core; a trap there makes the image unusable and is told. */
  guarded<T>(step: () => T): T {
    try {
      return step();
    } catch (error) {
      throw this.trapped(error);
    }
  }

  /** What to throw for an error that came out of a step. */
  trapped(error: unknown): unknown {
    if (error instanceof BlockError) return error;
    const failure = this.core.poison(error);
    if (this.core.isPoisoned && !this.failed) {
      this.failed = true;
      this.context.reportCorruption({ message: 'The qcow2 engine failed on this image', fatal: true });
    }
    return failure;
  }

  /** Does what a step asked for by its wait code; throws what its error code means. Reads the record first. */
  wait(code: number): Promise<unknown> {
    switch (code) {
      case Wait.need:
        return this.load();
      case Wait.loading:
        // A slot is taken only together with the load that `need` starts.
        return this.loads.get(this.record[3]!) ?? Promise.resolve();
      case Wait.busy:
        return this.waitForToken(this.record[0]!);
      case Wait.writeback:
        // For lack of clean slots: refcount blocks must be written too, however lazy they may be otherwise.
        return this.writeback(false);
      case Wait.init:
        return this.fillTable();
      case Wait.growTable:
        return this.growTable(this.record[0]!);
      case Wait.freesFull:
        return this.makeRoomForFrees();
      default:
        return Promise.reject(this.stepError(code));
    }
  }

  private stepError(code: number): BlockError {
    switch (code) {
      case StepError.corrupt:
        return this.corrupted(this.record[4]!, this.record[0]!);
      case StepError.tooBig:
        return new BlockError('EFBIG');
      case StepError.io:
        return new BlockError('EIO');
      default:
        return new BlockError('EINVAL');
    }
  }

  /** Reports corruption; where the image is writable it is marked and takes no more requests (section 10.7). */
  private corrupted(kind: number, offset: number): BlockError {
    const message = corruptionTexts[kind]!(`0x${offset.toString(16)}`);
    const fatal = !this.context.flags.readOnly;
    if (!this.failed) {
      const marking = fatal ? 'Marking image as corrupt' : 'Image is corrupt';
      const which = fatal ? '' : 'non-fatal ';
      this.context.platform.console.stderr(
        `qcow2: ${marking}: ${message}; further ${which}corruption events will be suppressed`,
      );
      this.context.reportCorruption({ message, offset, fatal });
    }
    if (fatal && !this.failed) {
      this.failed = true;
      if (this.header.version >= 3) {
        // Marking is all that can still be done; if even that fails, the requests fail all the same.
        void this.updateHeader({ setIncompatible: incompatible.corrupt }).catch(() => {});
      }
    }
    return new BlockError('EIO');
  }

  // Loading tables.

  private load(): Promise<void> {
    const [offset, bytes, address, slot] = this.results();
    const loading = this.loadTable(offset, this.core.memory.subarray(address, address + bytes), slot);
    this.loads.set(slot, loading);
    return loading;
  }

  private async loadTable(offset: number, table: Uint8Array, slot: number): Promise<void> {
    try {
      await this.tables.load(this.core.isL2Slot(slot) ? 'l2' : 'block', offset, table);
      this.steps.qcow2_table_loaded(slot);
    } catch (error) {
      this.steps.qcow2_table_failed(slot);
      throw error;
    } finally {
      this.loads.delete(slot);
    }
  }

  // Tokens.

  private waitForToken(token: number): Promise<void> {
    if (coreBusy.enabled) coreBusy.emit({ node: this.context.nodeName, token });
    let waiter = this.tokenWaiters.get(token);
    if (!waiter) {
      let resolve = (): void => {};
      const promise = new Promise<void>((settle) => {
        resolve = settle;
      });
      waiter = { promise, resolve };
      this.tokenWaiters.set(token, waiter);
    }
    return waiter.promise;
  }

  private tokenReleased(token: number): void {
    const waiter = this.tokenWaiters.get(token);
    if (!waiter) return;
    this.tokenWaiters.delete(token);
    waiter.resolve();
  }

  /** Publishes an allocation, after a write-back that may be running. */
  async commit(token: number): Promise<void> {
    try {
      while (this.guarded(() => this.steps.qcow2_write_commit(token)) < 0) await this.writebackOver();
    } finally {
      this.tokenReleased(token);
    }
  }

  abort(token: number): void {
    if (!this.core.isPoisoned) this.steps.qcow2_write_abort(token);
    this.tokenReleased(token);
  }

  /** Fills a fresh L2 table on disk: with zeros, or with what the shared one it replaces holds. */
  private async fillTable(): Promise<void> {
    const [offset, bytes, source, token] = this.results();
    let ok = false;
    try {
      const table = new Uint8Array(bytes);
      if (source > 0) {
        await this.file.debugEvent('l2_alloc_cow_read');
        await this.file.read(source, table);
      }
      await this.file.debugEvent('l2_alloc_write');
      await this.file.write(offset, table);
      ok = true;
    } finally {
      while (this.guarded(() => this.steps.qcow2_init_done(token, ok)) < 0) await this.writebackOver();
      this.tokenReleased(token);
    }
  }

  // Writing back.

  /** Settles when no write-back is running any more, whether it went well or not. */
  private async writebackOver(): Promise<void> {
    try {
      await this.runningWriteback;
    } catch {
      // Whoever started it gets its error; here only its end counts.
    }
  }

  /** Writes everything back that is dirty, or joins the write-back that is running. */
  async writeback(lazy = this.options.lazyRefcounts): Promise<void> {
    while (this.runningWriteback !== undefined && !this.writebackIsDurable) await this.writebackOver();
    await (this.runningWriteback ?? this.startWriteback(lazy, true));
  }

  /**
   * Writes everything that is dirty in the same order, waiting for the file but not for the device: whoever opens the
   * file after this process has died finds all of it. Only `writeback` makes it durable.
   */
  async writeOut(): Promise<void> {
    this.checkUsable();
    while (this.guarded(() => this.steps.qcow2_has_unwritten())) {
      await (this.runningWriteback ?? this.startWriteback(false, false));
    }
  }

  private startWriteback(lazy: boolean, durable: boolean): Promise<void> {
    this.writebackIsDurable = durable;
    this.runningWriteback = this.runWriteback(lazy, durable).finally(() => {
      this.runningWriteback = undefined;
      this.countDownInBackground();
    });
    return this.runningWriteback;
  }

  private async runWriteback(lazy: boolean, durable = true): Promise<void> {
    const { steps } = this;
    if (lazy && !this.markedDirty) {
      await this.updateHeader({ setIncompatible: incompatible.dirty });
      this.markedDirty = true;
    }
    this.guarded(() => steps.qcow2_writeback_begin(lazy));
    let ok = false;
    try {
      if (lazy) await this.tables.barrier();
      await this.writePhases(durable);
      if (durable) await this.tables.barrier();
      ok = true;
    } finally {
      if (!this.core.isPoisoned) steps.qcow2_writeback_end(ok && durable);
    }
  }

  private async writePhases(durable: boolean): Promise<void> {
    const writes: Promise<void>[] = [];
    for (;;) {
      const code = this.guarded(() => this.steps.qcow2_writeback_next());
      if (code === Writeback.write) {
        writes.push(this.writeItem());
        continue;
      }
      // All of a phase has settled before anything else happens, a failure included.
      const results = await Promise.allSettled(writes.splice(0));
      const failed = results.find((result) => result.status === 'rejected');
      if (failed) throw failed.reason;
      if (code === Writeback.done) return;
      if (durable) await this.tables.barrier();
    }
  }

  private async writeItem(): Promise<void> {
    const [offset, bytes, address, item] = this.results();
    let ok = false;
    try {
      const changed = this.core.memory.subarray(address, address + bytes);
      await this.tables.writeBack(this.core.kindOfItem(item), offset, changed);
      ok = true;
    } finally {
      this.steps.qcow2_writeback_done(item, ok);
    }
  }

  // Counting freed clusters down.

  private countDownInBackground(): void {
    if (this.failed || this.core.isPoisoned || !this.steps.qcow2_has_frees()) return;
    // What cannot be counted down now stays on the list: a leak at worst, and the next attempt tells.
    this.countDown().catch(() => {});
  }

  /** Counts down every cluster whose last use is durably gone, once nobody can still be using it. */
  countDown(): Promise<void> {
    this.runningFrees ??= this.runCountDown().finally(() => {
      this.runningFrees = undefined;
    });
    return this.runningFrees;
  }

  private async runCountDown(): Promise<void> {
    await this.gate.barrier();
    const { steps } = this;
    while (steps.qcow2_has_frees()) {
      const free = await this.run(() => {
        const code = steps.qcow2_free_next();
        if (code < 0) return code;
        return { last: code > 0, offset: this.record[1]!, reason: this.record[2]! };
      });
      if (free.last && this.passesDiscard(free.reason)) {
        await this.file.discard(free.offset, this.header.clusterSize).catch(() => {});
      }
      await this.file.debugEvent('cluster_free');
      await this.runCode(() => steps.qcow2_free_apply());
    }
  }

  private passesDiscard(reason: number): boolean {
    if (reason === FreeReason.shrinking) return true;
    if (reason === FreeReason.snapshot) return this.options.passDiscard.snapshot;
    return reason === FreeReason.request && this.options.passDiscard.request;
  }

  private async makeRoomForFrees(): Promise<void> {
    if (!this.steps.qcow2_has_frees()) await this.writeback();
    await this.countDown();
  }

  // Growing the refcount table (section 2.4).

  private growTable(index: number): Promise<void> {
    this.runningGrowth ??= this.runGrowth(index).finally(() => {
      this.runningGrowth = undefined;
    });
    return this.runningGrowth;
  }

  private async runGrowth(index: number): Promise<void> {
    // What is dirty now refers to the old table; from here to the end nothing may become so.
    await this.exclusively(async () => {
      const { steps, file } = this;
      const code = steps.qcow2_grow_plan(index);
      if (code < 0) throw this.stepError(code);
      const [, blocks, clusters] = this.results();
      await file.debugEvent('reftable_grow');
      await file.debugEvent('refblock_alloc_write_blocks');
      await this.writeBlocks(blocks);
      steps.qcow2_grow_table();
      let ok = false;
      try {
        const [address, bytes, offset] = this.results();
        await file.debugEvent('refblock_alloc_write_table');
        await file.write(offset, this.core.memory.subarray(address, address + bytes));
        await file.flush();
        await file.debugEvent('refblock_alloc_switch_table');
        await this.updateHeader({ refcountTable: { offset, clusters } });
        ok = true;
      } finally {
        steps.qcow2_grow_done(ok);
      }
    });
  }

  /** Writes the refcount blocks of a plan and makes them durable. */
  async writeBlocks(blocks: number): Promise<void> {
    const { address, bytes } = this.core.scratch;
    for (let index = 0; index < blocks; index++) {
      this.steps.qcow2_grow_block(index, address);
      await this.file.write(this.record[0]!, bytes);
    }
    await this.file.flush();
  }

  /**
   * Runs `act` with everything written back and no step that changes tables in between: for those the state is the
   * same as during a write-back.
   */
  async exclusively(act: () => Promise<void>): Promise<void> {
    while (this.runningWriteback !== undefined) await this.writebackOver();
    this.writebackIsDurable = true;
    const exclusive = (async () => {
      await this.runWriteback(false);
      this.guarded(() => this.steps.qcow2_writeback_begin(false));
      try {
        await act();
      } finally {
        if (!this.core.isPoisoned) this.steps.qcow2_writeback_end(false);
      }
    })();
    this.runningWriteback = exclusive.finally(() => {
      this.runningWriteback = undefined;
    });
    await this.runningWriteback;
  }

  // The header, and the end.

  /** Changes the header durably, one change at a time. */
  async updateHeader(changes: HeaderChanges): Promise<void> {
    await this.headerUpdates.run(async () => {
      this.header = await updateHeader(this.file, changes);
    });
  }

  /** Brings the image into the state of a clean close: nothing dirty, nothing waiting to be freed. */
  async settle(): Promise<void> {
    if (this.failed || this.core.isPoisoned) return;
    await this.writebackOver();
    await this.runningFrees?.catch(() => {});
    while (this.steps.qcow2_is_dirty()) {
      await this.writeback(false);
      await this.countDown();
    }
    await this.file.flush();
    if (this.markedDirty) {
      await this.updateHeader({ clearIncompatible: incompatible.dirty });
      this.markedDirty = false;
    }
  }
}
