/**
 * Space for growing, taken before anything of the image changes: on a file system that is full, growing fails here, and
 * the image and its file are what they were (specification: qcow2, section 11.1).
 *
 * How much that is is an upper bound: tables are counted as if none were there. What is not needed goes back afterwards.
 */
import { asBlockError, BlockError } from '../../../base/errors.ts';
import { roundUp } from '../../../base/sectors.ts';
import type { Preallocation } from '../../../block/driver.ts';
import { l1EntriesFor, type Qcow2Header, refcountBlockEntries } from '../disk/header.ts';
import type { Qcow2Driver } from './image.ts';

/** Bytes of the image's file. */
export interface FileRange {
  start: number;
  end: number;
}

/** What file systems give out at the least. */
const blockBytes = 4096;

/**
 * For data that is to be preallocated, reserves all space, and returns which part of the file it is, as zeros.
 * Otherwise only sees that there is room for tables, and returns undefined. Errors: ENOSPC; and for preallocation what
 * the file says, `Failed to resize underlying file: …`.
 */
export async function reserveGrowth(
  driver: Qcow2Driver,
  length: number,
  preallocation: Preallocation,
): Promise<FileRange | undefined> {
  const { file, header } = driver.engine;
  const before = await file.getByteLength();
  const start = roundUp(before, header.clusterSize);
  const isWhole = preallocation === 'falloc' || preallocation === 'full';
  const data = Math.ceil(length / header.clusterSize) - Math.floor(header.size / header.clusterSize);
  const hidesBacking = driver.context.backingLength() > header.size;
  const tables = preallocation !== 'off' || hidesBacking ? tablesFor(header, length) : 0;
  const l1Clusters = l1ClustersFor(header, length);
  const clusters = withCounts(header, start, l1Clusters + tables + (isWhole ? data : 0));
  if (isWhole) {
    const end = start + clusters * header.clusterSize;
    try {
      await file.truncate(end, { preallocation });
    } catch (error) {
      throw asBlockError(error).within('Failed to resize underlying file');
    }
    return { start, end };
  }
  // The end of what each table maps is written, so that the file is long enough.
  const bytes = clusters * header.clusterSize + tables * blockBytes;
  if (bytes > 0 && !(await hasRoom(driver, { before, end: start + bytes }))) {
    const full = new BlockError('ENOSPC');
    throw l1Clusters > 0 ? full.within('Failed to grow the L1 table') : full;
  }
  return undefined;
}

/** Reserves and gives back at once. A file that cannot reserve space says so and is left to fail later. */
async function hasRoom(
  { engine: { file } }: Qcow2Driver,
  { before, end }: { before: number; end: number },
): Promise<boolean> {
  try {
    await file.truncate(end, { preallocation: 'falloc' });
  } catch (error) {
    return asBlockError(error).errno !== 'ENOSPC';
  }
  await file.truncate(before);
  return true;
}

function l1ClustersFor(header: Qcow2Header, length: number): number {
  const entries = l1EntriesFor(header, length);
  return entries > header.l1Size ? Math.ceil((entries * 8) / header.clusterSize) : 0;
}

/** L2 tables from the one that maps the present end on. */
function tablesFor(header: Qcow2Header, length: number): number {
  return l1EntriesFor(header, length) - Math.max(0, l1EntriesFor(header, header.size) - 1);
}

/** `clusters` and the refcount blocks, and refcount table, that they may need in a file of `fileBytes`. */
function withCounts(header: Qcow2Header, fileBytes: number, clusters: number): number {
  if (clusters === 0) return 0;
  const perBlock = refcountBlockEntries(header);
  // Blocks count themselves as well.
  const blocks = Math.ceil(clusters / (perBlock - 1)) + 1;
  const counted = ((header.refcountTableClusters * header.clusterSize) / 8) * perBlock;
  const total = fileBytes / header.clusterSize + clusters + blocks;
  // A table that grows becomes longer than it has to be.
  const table =
    total > counted
      ? 2 * header.refcountTableClusters + Math.ceil((total * 8) / perBlock / header.clusterSize) + 1
      : 0;
  return clusters + blocks + table;
}
