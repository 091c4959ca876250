/**
 * Write-backs: changed tables reach the file in the order that the core says (assembly/qcow2/writeback.ts; specification:
 * qcow2, section 4.7).
 *
 * One at a time. A failed write or flush fails everybody who waits for that write-back, and leaves the tables dirty.
 * With lazy refcounts, the header says that counts cannot be trusted before the first of them stays behind.
 */
import type { WritebackItem } from '../../../core/qcow2-results.ts';
import { qcow2Barrier, qcow2WriteBack } from '../../../trace/events.ts';
import { measure } from '../../../trace/measure.ts';
import { incompatible } from '../disk/feature-bits.ts';
import type { StepRunner } from './steps.ts';

/** What is told before a changed table is written, by its kind. */
const updateEvents = {
  block: 'refblock_update_part',
  refcountTable: 'reftable_update',
  l2: 'l2_update',
  l1: 'l1_update',
} as const;

export class Writeback {
  private running: Promise<void> | undefined;
  /** The one that is running waits for the device. */
  private isDurable = true;
  /** The header says that refcounts cannot be trusted. */
  private markedDirty: boolean;

  /** `afterwards` is called after each one but those of `exclusively`, whether it went well or not. */
  constructor(
    private readonly engine: StepRunner,
    private readonly afterwards: () => void,
  ) {
    this.markedDirty = (engine.header.incompatibleFeatures & incompatible.dirty) !== 0n;
  }

  /** Settles when none is running any more, whether it went well or not. */
  async over(): Promise<void> {
    try {
      await this.running;
    } catch {
      // Whoever started it gets its error; here only its end counts.
    }
  }

  /** Makes everything durable that is dirty, or joins the write-back that is running. `lazy` leaves refcounts out. */
  async run(lazy: boolean): Promise<void> {
    while (this.running !== undefined && !this.isDurable) await this.over();
    await (this.running ?? this.start(lazy, true));
  }

  /**
   * Writes everything that is dirty in the same order, waiting for the file but not for the device: whoever opens the
   * file after this process has died finds all of it. Only `run` makes it durable.
   */
  async writeOut(): Promise<void> {
    const { core } = this.engine;
    while (this.engine.guarded(() => core.hasUnwritten)) {
      await (this.running ?? this.start(false, false));
    }
  }

  /**
   * Runs `act` with everything written back and no step that changes tables in between: for those the state is the
   * same as during a write-back.
   */
  async exclusively(act: () => Promise<void>): Promise<void> {
    const { core } = this.engine;
    while (this.running !== undefined) await this.over();
    this.isDurable = true;
    const exclusive = (async () => {
      await this.writeAll(false, true);
      this.engine.guarded(() => core.beginWriteback(false));
      try {
        await act();
      } finally {
        if (!core.isPoisoned) core.endWriteback(false);
      }
    })();
    this.running = exclusive.finally(() => {
      this.running = undefined;
    });
    await this.running;
  }

  /** Everything is durable: refcounts can be trusted again. */
  async clearDirty(): Promise<void> {
    if (!this.markedDirty) return;
    await this.engine.updateHeader({ clearIncompatible: incompatible.dirty });
    this.markedDirty = false;
  }

  private start(lazy: boolean, durable: boolean): Promise<void> {
    this.isDurable = durable;
    this.running = this.writeAll(lazy, durable).finally(() => {
      this.running = undefined;
      this.afterwards();
    });
    return this.running;
  }

  private async writeAll(lazy: boolean, durable: boolean): Promise<void> {
    const { core } = this.engine;
    if (lazy && !this.markedDirty) {
      await this.engine.updateHeader({ setIncompatible: incompatible.dirty });
      this.markedDirty = true;
    }
    this.engine.guarded(() => core.beginWriteback(lazy));
    let ok = false;
    try {
      if (lazy) await this.barrier();
      await this.writePhases(durable);
      if (durable) await this.barrier();
      ok = true;
    } finally {
      if (!core.isPoisoned) core.endWriteback(ok && durable);
    }
  }

  private async writePhases(durable: boolean): Promise<void> {
    const { core } = this.engine;
    const writes: Promise<void>[] = [];
    for (;;) {
      const next = this.engine.guarded(() => core.nextWriteback());
      if (typeof next === 'object') {
        writes.push(this.write(next));
        continue;
      }
      // An error in the record is taken at once, before anybody's next step.
      if (typeof next === 'number') writes.push(this.refused(next));
      // All of a phase has settled before anything else happens, a failure included.
      const results = await Promise.allSettled(writes.splice(0));
      const failed = results.find((result) => result.status === 'rejected');
      if (failed) throw failed.reason;
      if (next === 'done') return;
      if (durable) await this.barrier();
    }
  }

  /** What was written so far is durable before anything else is written. */
  private barrier(): Promise<void> {
    const { file, nodeName } = this.engine;
    return measure(qcow2Barrier, { node: nodeName }, () => file.flush());
  }

  private async refused(code: number): Promise<void> {
    throw await this.engine.stepError(code);
  }

  private async write(what: WritebackItem): Promise<void> {
    const { core, file, nodeName } = this.engine;
    const { offset, table } = what;
    let ok = false;
    try {
      const kind = core.kindOfItem(what.item);
      if (file.debugged) await file.debugEvent(updateEvents[kind]);
      const told = { node: nodeName, table: kind, offset, bytes: table.length };
      await measure(qcow2WriteBack, told, () => file.write(offset, table));
      ok = true;
    } finally {
      core.writebackDone(what.item, ok);
    }
  }
}
