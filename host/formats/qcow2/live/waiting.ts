/**
 * What a step of the core may wait for besides write-backs: tables that are read, fresh L2 tables that are filled, and
 * tokens of other requests (specification: qcow2, section 4.6).
 *
 * A failed read fails everybody who waits for that table, and the next one who wants it reads again.
 */
import { createDeferred, type Deferred } from '../../../base/deferred.ts';
import { InFlight } from '../../../base/in-flight.ts';
import type { NeededTable } from '../../../core/qcow2-results.ts';
import { coreBusy, coreNeed } from '../../../trace/events.ts';
import type { StepRunner } from './steps.ts';

/** Tables on their way into memory. */
export class TableLoads {
  /** By slot. */
  private readonly loads = new Map<number, Promise<void>>();
  private readonly reads = new InFlight();
  /** Reads wait for it. */
  private gate: Promise<void> | undefined;

  constructor(private readonly engine: StepRunner) {}

  /** Reads the table that a step has just asked for. */
  load(): Promise<void> {
    const { core, nodeName } = this.engine;
    const needed = core.neededTable;
    if (coreNeed.enabled) coreNeed.emit({ node: nodeName, offset: needed.offset, bytes: needed.bytes });
    const loading = this.read(needed);
    this.loads.set(needed.slot, loading);
    return loading;
  }

  /** Settles when the table that another request reads into `slot` is there; at once when it is by now. */
  async loaded(slot: number): Promise<void> {
    await this.loads.get(slot);
  }

  /** Runs `act` while no table is being read. */
  async quietly(act: () => void): Promise<void> {
    const { promise, resolve: open } = createDeferred();
    this.gate = promise;
    try {
      await this.reads.whenIdle();
      act();
    } finally {
      this.gate = undefined;
      open();
    }
  }

  private async read({ offset, bytes, address, slot }: NeededTable): Promise<void> {
    const { core, file } = this.engine;
    try {
      if (file.debugged) await file.debugEvent(core.isL2Slot(slot) ? 'l2_load' : 'refblock_load');
      while (this.gate !== undefined) await this.gate;
      this.reads.begin();
      try {
        await file.read(offset, core.bytesAt(address, bytes));
      } finally {
        this.reads.end();
      }
      core.tableLoaded(slot);
    } catch (error) {
      core.tableFailed(slot);
      throw error;
    } finally {
      this.loads.delete(slot);
    }
  }
}

/** Allocations under way, and who waits for their end. `writebackOver` settles when no write-back runs any more. */
export class Tokens {
  private readonly ends = new Map<number, Deferred<void>>();

  constructor(
    private readonly engine: StepRunner,
    private readonly writebackOver: () => Promise<void>,
  ) {}

  /** Settles when the token has ended. */
  ended(token: number): Promise<void> {
    if (coreBusy.enabled) coreBusy.emit({ node: this.engine.nodeName, token });
    const end = this.ends.get(token) ?? createDeferred();
    this.ends.set(token, end);
    return end.promise;
  }

  /** Publishes an allocation, after a write-back that may be running. */
  commit(token: number): Promise<void> {
    return this.end(token, () => this.engine.core.commitWrite(token));
  }

  abort(token: number): void {
    const { core } = this.engine;
    if (!core.isPoisoned) core.abortWrite(token);
    this.release(token);
  }

  /** Fills the table that a step has just asked for: with zeros, or with what the shared one it replaces holds. */
  async fillTable(): Promise<void> {
    const { core, file } = this.engine;
    const { offset, bytes, source, token } = core.freshTable;
    let ok = false;
    try {
      const table = new Uint8Array(bytes);
      if (source > 0) {
        await file.debugEvent('l2_alloc_cow_read');
        await file.read(source, table);
      }
      await file.debugEvent('l2_alloc_write');
      await file.write(offset, table);
      ok = true;
    } finally {
      await this.end(token, () => core.freshTableDone(token, ok));
    }
  }

  private async end(token: number, step: () => number): Promise<void> {
    try {
      while (this.engine.guarded(step) < 0) await this.writebackOver();
    } finally {
      this.release(token);
    }
  }

  private release(token: number): void {
    this.ends.get(token)?.resolve();
    this.ends.delete(token);
  }
}
