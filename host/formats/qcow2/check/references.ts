/**
 * Counting every reference of an image (specification: qcow2, section 10.2): the L1 tables of the disk and its snapshots,
 * then each distinct L2 table once with its weight, then all other structures, the refcount blocks last.
 *
 * Tables that cannot be right (unaligned, outside the file) are not walked, and the image is then `incomplete`.
 */
import { BlockError } from '../../../base/errors.ts';
import { viewOf } from '../../../base/view-of.ts';
import { dataClusters, readBitmapDirectory, readBitmapTable } from '../disk/bitmap-directory.ts';
import { l2Entries } from '../disk/header.ts';
import { bufferBytes } from './check-core.ts';
import type { CheckedImage } from './checked-image.ts';
import { concatenate, distinct } from './cluster-lists.ts';
import { describeBeyondEnd } from './findings.ts';
import type { CheckedSnapshots } from './snapshot-repair.ts';

interface References {
  /** L2 tables of the disk: cluster numbers, distinct and ascending. */
  readonly activeL2: Uint32Array;
  /** Offsets of the refcount blocks that were counted, in the order of the table. */
  readonly refcountBlocks: readonly number[];
}

/** Makes the core's counts the references that there are, and finds the refcount blocks. */
export async function countReferences(image: CheckedImage, snapshots: CheckedSnapshots): Promise<References> {
  const activeL2 = await countL1Tables(image, snapshots);
  await countL2Tables(image, listL2Tables(image), activeL2);
  await countStructures(image, snapshots);
  image.incomplete ||= image.core.skippedTables > 0;
  return { activeL2: distinct(activeL2), refcountBlocks: await countRefcountBlocks(image) };
}

/** Returns the L2 tables that the active L1 table names: cluster numbers, ascending, as often as they are named. */
async function countL1Tables(image: CheckedImage, snapshots: CheckedSnapshots): Promise<Uint32Array> {
  const { header, file } = image;
  const active = await countL1Table(image, {
    offset: header.l1TableOffset,
    entries: header.l1Size,
    weight: 1,
  });
  let tableBytes = 0;
  for (const table of snapshots.l1Tables) {
    // Tables of valid images share nothing, so together they are no longer than the file.
    tableBytes += table.entries * 8;
    if (tableBytes > file.length) {
      image.report.corruption('ERROR snapshot L1 tables overlap; not all of them were examined');
      image.incomplete = true;
      break;
    }
    await countL1Table(image, table);
  }
  return active.sort();
}

async function countL1Table(
  image: CheckedImage,
  { offset, entries, weight }: CheckedSnapshots['l1Tables'][number],
): Promise<Uint32Array> {
  const pieces: Uint32Array[] = [];
  const perPiece = bufferBytes / 8;
  for (let first = 0; first < entries && offset + first * 8 < image.file.length; first += perPiece) {
    const count = Math.min(perPiece, entries - first);
    if (!(await image.load(offset + first * 8, count * 8, 'L1 table'))) break;
    pieces.push(image.core.walkL1(count, weight));
  }
  return concatenate(pieces);
}

/** Distinct L2 tables inside the file, ascending, and how many L1 entries name each. */
interface L2Tables {
  readonly clusters: Uint32Array;
  readonly weights: Uint32Array;
}

/** Nothing but L1 entries is counted yet: what has a count is an L2 table, and the count is its weight. */
function listL2Tables({ core }: CheckedImage): L2Tables {
  const clusters: number[] = [];
  const weights: number[] = [];
  for (let cluster = core.nextCounted(0); cluster >= 0; cluster = core.nextCounted(cluster + 1)) {
    clusters.push(cluster);
    weights.push(core.count(cluster));
  }
  return { clusters: Uint32Array.from(clusters), weights: Uint32Array.from(weights) };
}

async function countL2Tables(image: CheckedImage, tables: L2Tables, activeL2: Uint32Array): Promise<void> {
  const { core, header, options } = image;
  const mayShowBacking = header.version >= 3 || header.backingFile !== undefined;
  const fix = !options.fix.errors ? 'none' : mayShowBacking ? 'zero' : 'unallocated';
  let active = 0;
  await image.forEachTable(tables.clusters, 'L2 table', (at, cluster, index) => {
    let activeWeight = 0;
    while (activeL2[active] === cluster) {
      active++;
      activeWeight++;
    }
    const weight = tables.weights[index] ?? 0;
    core.walkL2(at, l2Entries(header), { weight, activeWeight, fix });
    return core.tableChanged;
  });
}

/** Counts the clusters of a structure; false when it does not lie in the file. */
function countStructure(image: CheckedImage, offset: number, bytes: number, weight = 1): boolean {
  if (offset + bytes >= image.file.length + image.header.clusterSize && bytes > 0) {
    image.report.corruption(describeBeyondEnd(offset, bytes), weight);
    image.incomplete = true;
    return false;
  }
  image.core.reference(offset, bytes, weight);
  return true;
}

/** Everything that is neither an L2 table, nor data, nor refcounts. */
async function countStructures(image: CheckedImage, snapshots: CheckedSnapshots): Promise<void> {
  const { header } = image;
  countStructure(image, 0, header.clusterSize);
  countStructure(image, header.l1TableOffset, header.l1Size * 8);
  for (const { offset, entries, weight } of snapshots.l1Tables) {
    countStructure(image, offset, entries * 8, weight);
  }
  for (const problem of snapshots.badL1Tables) {
    image.report.corruption(problem);
    image.incomplete = true;
  }
  for (const { offset, bytes } of snapshots.tables) countStructure(image, offset, bytes);
  if (header.encryption) countStructure(image, header.encryption.offset, header.encryption.bytes);
  await countBitmaps(image);
}

async function countBitmaps(image: CheckedImage): Promise<void> {
  const { header, file } = image;
  const { bitmaps, clusterSize } = header;
  if (bitmaps === undefined) return;
  try {
    if (!countStructure(image, bitmaps.directoryOffset, bitmaps.directoryBytes)) return;
    for (const entry of await readBitmapDirectory(file, bitmaps, clusterSize)) {
      if (!countStructure(image, entry.tableOffset, entry.tableEntries * 8)) continue;
      for (const offset of dataClusters(await readBitmapTable(file, entry, clusterSize))) {
        countStructure(image, offset, clusterSize);
      }
    }
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
    image.report.corruption(`ERROR ${error.message}`);
    image.incomplete = true;
  }
}

/** Counts the refcount table and its blocks, and says where they are. Returns the offsets of those that it counted. */
async function countRefcountBlocks(image: CheckedImage): Promise<number[]> {
  const { header, core, file, report, options } = image;
  const { clusterSize } = header;
  const tableBytes = header.refcountTableClusters * clusterSize;
  const counted: number[] = [];
  const inFile = countStructure(image, header.refcountTableOffset, tableBytes);
  const bytes = new Uint8Array(tableBytes);
  if (inFile) await file.read(header.refcountTableOffset, bytes);
  const view = viewOf(bytes);
  for (let index = 0; index < tableBytes / 8; index++) {
    const high = view.getUint32(index * 8);
    const low = view.getUint32(index * 8 + 4);
    if (high === 0 && low === 0) continue;
    const offset = high * 2 ** 32 + (low - (low % 512));
    const inside = offset < file.length;
    if (low % 512 !== 0) {
      report.badTableEntry(`ERROR refcount table entry ${index} has reserved bits set`);
      image.needsRebuild = true;
      if (inside && offset % clusterSize === 0) image.blocks[index] = { offset, unreadable: false };
    } else if (offset % clusterSize !== 0) {
      report.badTableEntry(
        `ERROR refcount block ${index} is not cluster aligned; refcount table entry corrupted`,
      );
      image.needsRebuild = true;
      image.blocks[index] = { offset, unreadable: true };
    } else if (!inside) {
      const verb = options.fix.errors ? 'Repairing' : 'ERROR';
      report.badTableEntry(`${verb} refcount block ${index} is outside image`);
      image.needsRebuild ||= options.fix.errors;
    } else {
      image.blocks[index] = { offset, unreadable: false };
      const references = core.count(offset / clusterSize);
      core.reference(offset, clusterSize);
      counted.push(offset);
      if (references === 0) continue;
      report.badTableEntry(`ERROR refcount block ${index} refcount=${references + 1}`);
      image.needsRebuild = true;
    }
  }
  return counted;
}
