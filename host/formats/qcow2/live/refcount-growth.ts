/**
 * Growing the refcount table, and refcount blocks that are made before they are shown (specification: qcow2, section
 * 2.4). The plan is the core's (assembly/qcow2/table-growth.ts).
 */
import type { StepRunner } from './steps.ts';
import type { Writeback } from './writeback.ts';

export class RefcountGrowth {
  private running: Promise<void> | undefined;

  constructor(
    private readonly engine: StepRunner,
    private readonly writeback: Writeback,
  ) {}

  /** Grows the table so that it has `index`, or joins the growth that is running, which may not go as far. */
  grow(index: number): Promise<void> {
    this.running ??= this.run(index).finally(() => {
      this.running = undefined;
    });
    return this.running;
  }

  private async run(index: number): Promise<void> {
    const { core, file, header } = this.engine;
    // The plan goes half as far again as the table is long, or to the index, and to the end of a cluster.
    const entries = (header.refcountTableClusters * header.clusterSize) / 8;
    const refcountTable = 2 * Math.max(index, entries) + header.clusterSize / 8;
    await this.engine.makeRoom({ l1: 0, refcountTable });
    // What is dirty now refers to the old table; from here to the end nothing may become so.
    await this.writeback.exclusively(async () => {
      const plan = core.planGrowth(index);
      if (typeof plan === 'number') throw await this.engine.stepError(plan);
      await file.debugEvent('reftable_grow');
      await file.debugEvent('refblock_alloc_write_blocks');
      await this.writeBlocks(plan.blocks);
      const { offset, table } = core.growTable();
      let ok = false;
      try {
        await file.debugEvent('refblock_alloc_write_table');
        await file.write(offset, table);
        await file.flush();
        await file.debugEvent('refblock_alloc_switch_table');
        await this.engine.updateHeader({ refcountTable: { offset, clusters: plan.clusters } });
        ok = true;
      } finally {
        core.growthDone(ok);
      }
    });
  }

  /** Writes the refcount blocks of a plan and makes them durable. */
  async writeBlocks(blocks: number): Promise<void> {
    const { core, file } = this.engine;
    for (let index = 0; index < blocks; index++) {
      const { offset, table } = core.makeBlock(index);
      await file.write(offset, table);
    }
    await file.flush();
  }
}
