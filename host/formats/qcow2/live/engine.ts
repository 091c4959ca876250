/**
 * The host's side of the qcow2 engine: does for the core what a step asked for, then lets the step go on
 * (specification: qcow2, sections 2, 4.7 and 10.7).
 *
 * All metadata I/O of an open image goes through here: loading tables and filling fresh ones (waiting.ts; turn.ts where there is
 * little room for them), write-backs (writeback.ts), freed clusters (frees.ts), the refcount table's growth (refcount-growth.ts), and the end of an image that
 * is damaged (corruption.ts). A step that waits is retried until it finishes; a failed load, write or flush fails the
 * requests that wait for it and leaves the tables as they were, dirty ones dirty. After fatal corruption, or a trap in the
 * core, every request fails with EIO until the image is opened again.
 *
 * It tells its file what it is about to do (block/debug-events.ts), as QEMU does where it does the same. Refcount blocks
 * and tables are only made in memory, L1 tables grow and shrink in one step, and clusters are counted one by one: the
 * events of QEMU's ways through that have no counterpart here. They are refblock_alloc, refblock_alloc_hookup,
 * refblock_alloc_write, l1_grow_alloc_table, l1_shrink_free_l2_clusters, l2_update_compressed, refblock_update (of whole
 * blocks; refblock_update_part is there) and empty_image_prepare.
 */
import { BlockError } from '../../../base/errors.ts';
import { Mutex } from '../../../base/mutex.ts';
import type { Edge } from '../../../block/edge.ts';
import type { OpenContext } from '../../../block/open-context.ts';
import type { Qcow2Core, TableRoom } from '../../../core/qcow2.ts';
import { StepError, Wait } from '../../../core/qcow2-abi.ts';
import { incompatible } from '../disk/feature-bits.ts';
import type { Qcow2Header } from '../disk/header.ts';
import { type HeaderChanges, updateHeader } from '../disk/header-update.ts';
import type { ResolvedOptions } from '../options.ts';
import { ImageCorruption } from './corruption.ts';
import type { PlaceOf } from './encryption.ts';
import { Frees } from './frees.ts';
import { protectHeaderRanges } from './overlap-check.ts';
import { RefcountGrowth } from './refcount-growth.ts';
import type { StepRunner } from './steps.ts';
import { TransferGate } from './transfer-gate.ts';
import { Turn } from './turn.ts';
import { TableLoads, Tokens } from './waiting.ts';
import { Writeback } from './writeback.ts';

export class Qcow2Engine implements StepRunner {
  readonly gate = new TransferGate();
  readonly corruption: ImageCorruption;
  readonly nodeName: string;
  /** Where guest data and VM state are: what is in an encrypted image is not what is in its file. */
  placeOf: PlaceOf = () => this.file;
  private readonly headerUpdates = new Mutex();
  private readonly turns = new Mutex();
  private readonly loads: TableLoads;
  private readonly tokens: Tokens;
  private readonly writebacks: Writeback;
  private readonly frees: Frees;
  private readonly growth: RefcountGrowth;

  constructor(
    readonly core: Qcow2Core,
    readonly file: Edge,
    public header: Qcow2Header,
    readonly options: ResolvedOptions,
    context: OpenContext,
  ) {
    this.nodeName = context.nodeName;
    this.corruption = new ImageCorruption(context, () => this.markCorrupt());
    this.frees = new Frees(this, this.gate);
    this.writebacks = new Writeback(this, () => this.frees.startInBackground());
    this.growth = new RefcountGrowth(this, this.writebacks);
    this.loads = new TableLoads(this);
    this.tokens = new Tokens(this, () => this.writebacks.over());
    protectHeaderRanges(core, header);
  }

  /** Throws when the image takes no more requests. */
  checkUsable(): void {
    this.corruption.checkUsable();
  }

  // Running steps.

  async run<T extends object>(attempt: () => T | number, code?: number): Promise<T> {
    const turn = new Turn(this.turns);
    try {
      let result = code ?? this.tried(attempt);
      while (typeof result === 'number') {
        // It takes from the record what it needs, at once.
        const waiting = this.wait(result);
        if (result === Wait.need || result === Wait.loading) {
          await waiting;
          await turn.afterRead();
        } else {
          turn.end();
          await waiting;
        }
        result = this.tried(attempt);
      }
      return result;
    } finally {
      turn.end();
    }
  }

  async runCode(step: () => number): Promise<number> {
    const { code } = await this.run(() => {
      const result = step();
      return result < 0 ? result : { code: result };
    });
    return code;
  }

  private tried<T>(attempt: () => T): T {
    this.checkUsable();
    return this.guarded(attempt);
  }

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
    if (this.core.isPoisoned) this.corruption.trapped();
    return failure;
  }

  /** Does what a step asked for by its wait code; throws what its error code means. Reads the record first. */
  private wait(code: number): Promise<unknown> {
    const { core } = this;
    switch (code) {
      case Wait.need:
        return this.loads.load();
      case Wait.loading:
        return this.loads.loaded(core.loadingSlot);
      case Wait.busy:
        return this.tokens.ended(core.busyToken);
      case Wait.writeback:
        // For lack of clean slots: refcount blocks must be written too, however lazy they may be otherwise.
        return this.writeback(false);
      case Wait.init:
        return this.tokens.fillTable();
      case Wait.growTable:
        return this.growth.grow(core.neededIndex);
      case Wait.freesFull:
        return this.makeRoomForFrees();
      default:
        return this.stepError(code).then((error) => Promise.reject(error));
    }
  }

  async stepError(code: number): Promise<BlockError> {
    switch (code) {
      case StepError.corrupt:
        return this.corruption.found(this.core.corruption);
      case StepError.tooBig:
        return new BlockError('EFBIG');
      case StepError.io:
        return new BlockError('EIO');
      default:
        return new BlockError('EINVAL');
    }
  }

  private async makeRoomForFrees(): Promise<void> {
    if (!this.core.hasFrees) await this.writeback();
    await this.countDown();
  }

  // What the rest of the image asks for.

  /** Publishes an allocation, after a write-back that may be running. */
  commit(token: number): Promise<void> {
    return this.tokens.commit(token);
  }

  abort(token: number): void {
    this.tokens.abort(token);
  }

  /** Writes everything back that is dirty, or joins the write-back that is running. */
  writeback(lazy = this.options.lazyRefcounts): Promise<void> {
    return this.writebacks.run(lazy);
  }

  /** As `writeback`, waiting for the file but not for the device. */
  async writeOut(): Promise<void> {
    this.checkUsable();
    await this.writebacks.writeOut();
  }

  /** Runs `act` with everything written back and no step that changes tables in between. */
  exclusively(act: () => Promise<void>): Promise<void> {
    return this.writebacks.exclusively(act);
  }

  /** Makes room for tables of so many entries, or as many as they may have: before they grow. */
  async makeRoom(entries: TableRoom): Promise<void> {
    const { core } = this;
    if (core.hasRoom(entries)) return;
    await this.exclusively(() => this.loads.quietly(() => this.guarded(() => core.makeRoom(entries))));
  }

  /** Counts down every cluster whose last use is durably gone, once nobody can still be using it. */
  countDown(): Promise<void> {
    return this.frees.countDown();
  }

  /** Writes the refcount blocks of a plan and makes them durable. */
  writeBlocks(blocks: number): Promise<void> {
    return this.growth.writeBlocks(blocks);
  }

  /** Before the host writes to the file what the core knows nothing of: `own` is its `MetadataClass`. EIO. */
  async checkOverlap(offset: number, bytes: number, own: number): Promise<void> {
    await this.runCode(() => this.core.checkOverlap(offset, bytes, own));
  }

  // The header, and the end.

  /** Changes the header durably, one change at a time. */
  async updateHeader(changes: HeaderChanges): Promise<void> {
    await this.headerUpdates.run(async () => {
      this.header = await updateHeader(this.file, changes);
      protectHeaderRanges(this.core, this.header);
    });
  }

  /** Version 2 has no place for the mark. */
  private async markCorrupt(): Promise<void> {
    if (this.header.version >= 3) await this.updateHeader({ setIncompatible: incompatible.corrupt });
  }

  /**
   * Brings the image into the state of a clean close: nothing dirty, nothing waiting to be freed. An image that is damaged
   * stays as it is, and is marked.
   */
  async settle(): Promise<void> {
    try {
      if (!this.corruption.isFatal) await this.clean();
    } finally {
      await this.corruption.marked();
    }
  }

  private async clean(): Promise<void> {
    await this.writebacks.over();
    await this.frees.over();
    while (this.core.isDirty) {
      await this.writeback(false);
      await this.countDown();
    }
    await this.file.flush();
    await this.writebacks.clearDirty();
  }
}
