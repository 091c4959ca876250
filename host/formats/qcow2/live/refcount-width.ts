/**
 * Another width of refcounts (specification: qcow2, section 11.4). A whole new set of them is made behind the end of the
 * file, which counts neither the old one nor anything wrongly; one sector of the header then switches to it, width and
 * table at once. A crash finds the old set or the new one.
 */
import { asBlockError, BlockError, invalid } from '../../../base/errors.ts';
import { viewOf } from '../../../base/view-of.ts';
import { type Qcow2Header, refcountBlockEntries } from '../disk/header.ts';
import { getRefcount, maxRefcount, setRefcount } from '../disk/refcount-entry.ts';
import {
  type Clusters,
  planRefcounts,
  type RefcountPlan,
  refcountTableOf,
  refcountTablePlace,
} from '../disk/refcount-plan.ts';
import type { Qcow2Engine } from './engine.ts';
import type { Qcow2Driver } from './image.ts';

/**
 * The widths that are too narrow for a count: EINVAL, with nothing changed, as after ENOSPC and other errors of I/O. `report`: how much of
 * the new set is written, from 0 to 1.
 */
export async function changeRefcountWidth(
  driver: Qcow2Driver,
  refcountOrder: number,
  report: (done: number) => void,
): Promise<void> {
  const { engine } = driver;
  await engine.settle();
  const { file } = engine;
  const { clusterSize } = engine.header;
  const old = await OldRefcounts.read(engine);
  const geometry = { clusterSize, refcountOrder };
  const used = await old.usedBlocks(geometry);
  const plan = planRefcounts(used, Math.ceil(file.length / clusterSize), geometry);
  const oldBytes = file.length;
  try {
    await writeSet(engine, old, { plan, refcountOrder, report });
    await file.flush();
  } catch (error) {
    // Nothing refers to what has been written.
    await file.truncate(oldBytes).catch(() => {});
    throw error;
  }
  await driver.changeHeader({ refcountTable: refcountTablePlace(plan, clusterSize), refcountOrder });
}

interface NewRefcounts {
  plan: RefcountPlan;
  refcountOrder: number;
  report(done: number): void;
}

async function writeSet(
  { file, header: { clusterSize } }: Qcow2Engine,
  old: OldRefcounts,
  { plan, refcountOrder, report }: NewRefcounts,
): Promise<void> {
  const perBlock = refcountBlockEntries({ clusterSize, refcountOrder });
  const write = async (offset: number, bytes: Uint8Array, what: string): Promise<void> => {
    try {
      await file.write(offset, bytes);
    } catch (error) {
      throw asBlockError(error).within(`Failed to write ${what}`);
    }
  };
  for (const [position, index] of plan.blocks.entries()) {
    const block = new Uint8Array(clusterSize);
    const first = index * perBlock;
    await old.forEachCount({ first, count: perBlock }, (cluster, count) =>
      setRefcount(block, cluster - first, refcountOrder, count),
    );
    const end = Math.min(plan.end, first + perBlock);
    for (let cluster = Math.max(plan.start, first); cluster < end; cluster++) {
      setRefcount(block, cluster - first, refcountOrder, 1);
    }
    await write((plan.start + position) * clusterSize, block, 'refblock');
    report((position + 1) / plan.blocks.length);
  }
  await write(plan.tableStart * clusterSize, refcountTableOf(plan, clusterSize), 'reftable');
}

/** The refcounts that there are, without those of the clusters that they are in themselves. */
class OldRefcounts {
  private constructor(
    private readonly engine: Qcow2Engine,
    /** Offsets of the blocks by index; 0: none. */
    private readonly blocks: readonly number[],
    /** Clusters of the table and the blocks. */
    private readonly own: ReadonlySet<number>,
  ) {}

  /** EIO when the table cannot be right. */
  static async read(engine: Qcow2Engine): Promise<OldRefcounts> {
    const { file, header } = engine;
    const { clusterSize, refcountTableOffset, refcountTableClusters } = header;
    const table = new Uint8Array(refcountTableClusters * clusterSize);
    await file.read(refcountTableOffset, table);
    const view = viewOf(table);
    const blocks = Array.from({ length: table.length / 8 }, (_, index) =>
      Number(view.getBigUint64(index * 8)),
    );
    const own = new Set<number>();
    for (let cluster = 0; cluster < refcountTableClusters; cluster++) {
      own.add(refcountTableOffset / clusterSize + cluster);
    }
    for (const offset of blocks) {
      if (offset % clusterSize !== 0) throw new BlockError('EIO', 'The refcount table is damaged');
      if (offset > 0) own.add(offset / clusterSize);
    }
    return new OldRefcounts(engine, blocks, own);
  }

  /** Indexes of the blocks of another width that have anything to say, ascending. EINVAL: a count does not fit it. */
  async usedBlocks(geometry: Pick<Qcow2Header, 'clusterSize' | 'refcountOrder'>): Promise<number[]> {
    const { clusterSize, refcountOrder } = geometry;
    const largest = maxRefcount(refcountOrder);
    const perBlock = refcountBlockEntries(geometry);
    const used = new Set<number>();
    const all = { first: 0, count: this.blocks.length * refcountBlockEntries(this.engine.header) };
    await this.forEachCount(all, (cluster, count) => {
      if (count > largest) {
        const at = `0x${(cluster * clusterSize).toString(16)}`;
        throw invalid(
          `Cannot decrease refcount entry width to ${2 ** refcountOrder} bits: ` +
            `Cluster at offset ${at} has a refcount of ${count}`,
        );
      }
      used.add(Math.floor(cluster / perBlock));
    });
    return [...used].sort((a, b) => a - b);
  }

  /** Visits the clusters of a range that have a count. */
  async forEachCount(
    { first, count: clusters }: Clusters,
    visit: (cluster: number, count: number) => void,
  ): Promise<void> {
    const { file, header } = this.engine;
    const perBlock = refcountBlockEntries(header);
    const end = Math.min(first + clusters, this.blocks.length * perBlock);
    for (let cluster = first; cluster < end; ) {
      const index = Math.floor(cluster / perBlock);
      const next = Math.min(end, (index + 1) * perBlock);
      const offset = this.blocks[index] ?? 0;
      if (offset > 0) {
        const block = new Uint8Array(header.clusterSize);
        await file.read(offset, block);
        for (; cluster < next; cluster++) {
          const count = getRefcount(block, cluster % perBlock, header.refcountOrder);
          const others = this.own.has(cluster) ? count - 1 : count;
          if (others > 0) visit(cluster, others);
        }
      }
      cluster = next;
    }
  }
}
