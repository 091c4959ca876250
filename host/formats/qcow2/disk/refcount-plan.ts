/**
 * Where a new set of refcounts goes that is made in one piece, and counts itself (specification: qcow2, sections 2.3
 * and 10.5): its blocks first, the table behind them, all in a row in clusters that nothing uses.
 */
import { BlockError } from '../../../base/errors.ts';
import { viewOf } from '../../../base/view-of.ts';
import { maxRefcountTableBytes, type Qcow2Header, refcountBlockEntries } from './header.ts';

type Geometry = Pick<Qcow2Header, 'clusterSize' | 'refcountOrder'>;

/** Clusters in a row. */
export interface Clusters {
  readonly first: number;
  readonly count: number;
}

/** Cluster numbers, and counts of clusters. */
export interface RefcountPlan {
  /** Which blocks there are: indexes in the table, ascending. Block n of these is n clusters behind `start`. */
  readonly blocks: readonly number[];
  readonly start: number;
  readonly tableStart: number;
  readonly tableClusters: number;
  /** The first cluster behind it all. */
  readonly end: number;
}

/**
 * A set at `start` that has the blocks `used`, and those that count the set itself. EFBIG when its table would be
 * longer than any reader accepts.
 */
export function planRefcounts(used: readonly number[], start: number, geometry: Geometry): RefcountPlan {
  const { clusterSize } = geometry;
  const perBlock = refcountBlockEntries(geometry);
  let blocks = [...used];
  let tableClusters = 0;
  for (let before = -1; before !== blocks.length + tableClusters; ) {
    before = blocks.length + tableClusters;
    blocks = withBlocksOf(used, { first: start, count: before }, perBlock);
    tableClusters = Math.ceil((((blocks.at(-1) ?? 0) + 1) * 8) / clusterSize);
  }
  if (tableClusters * clusterSize > maxRefcountTableBytes) throw new BlockError('EFBIG');
  const tableStart = start + blocks.length;
  return { blocks, start, tableStart, tableClusters, end: tableStart + tableClusters };
}

/** `blocks` and the indexes of those that count `clusters`, ascending. */
export function withBlocksOf(
  blocks: readonly number[],
  { first, count }: Clusters,
  perBlock: number,
): number[] {
  const all = new Set(blocks);
  const last = Math.floor((first + count - 1) / perBlock);
  if (count > 0) for (let index = Math.floor(first / perBlock); index <= last; index++) all.add(index);
  return [...all].sort((a, b) => a - b);
}

/** The table of a plan, whole clusters of it. */
export function refcountTableOf(
  { blocks, start, tableClusters }: RefcountPlan,
  clusterSize: number,
): Uint8Array {
  const table = new Uint8Array(tableClusters * clusterSize);
  const view = viewOf(table);
  for (const [position, index] of blocks.entries()) {
    view.setBigUint64(index * 8, BigInt((start + position) * clusterSize));
  }
  return table;
}

/** What the header says about the table of a plan. */
export function refcountTablePlace(
  { tableStart, tableClusters }: RefcountPlan,
  clusterSize: number,
): { offset: number; clusters: number } {
  return { offset: tableStart * clusterSize, clusters: tableClusters };
}
