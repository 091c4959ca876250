/**
 * The tables of a new image, laid out and written (specification: qcow2, sections 1.8 and 11.1).
 *
 *   header | refcount table | refcount blocks | L1 table | L2 tables | data
 *
 * Without preallocation there are no L2 tables and no data, and for all but enormous L1 tables this is what QEMU makes:
 * refcount table in cluster 1, one refcount block in 2, L1 from 3. With it every guest cluster is mapped, in order, to
 * one contiguous area. Every cluster has refcount 1. Tables are produced and written in pieces of a fixed size.
 */
import { BlockError } from '../../../base/errors.ts';
import type { Preallocation } from '../../../block/driver.ts';
import { maxRefcountTableBytes } from '../disk/header.ts';
import { type NewImageFile, viewOf } from '../disk/image-file.ts';

/** Bytes of table that are built and written at once; at least one cluster of the largest size. */
const pieceBytes = 2 * 1024 * 1024;
/** Bit 63 of an L1 or L2 entry: refcount is exactly 1. */
const copiedHigh = 0x80000000;

interface Layout {
  clusterSize: number;
  /** Bytes to map; 0 maps nothing. */
  size: number;
  l1Entries: number;
  refcountOrder: number;
}

/** Offsets in bytes, counts in clusters unless they say otherwise. */
export interface ImagePlan extends Layout {
  refcountTableOffset: number;
  refcountTableClusters: number;
  refcountBlockOffset: number;
  refcountBlocks: number;
  l1TableOffset: number;
  l2TableOffset: number;
  l2Tables: number;
  dataOffset: number;
  dataClusters: number;
  /** All clusters of the image, each with refcount 1. */
  totalClusters: number;
  fileBytes: number;
}

/** Lays out a new image. EFBIG when its refcount table would be larger than any reader accepts. */
export function planPreallocation(layout: Layout): ImagePlan {
  const { clusterSize } = layout;
  const dataClusters = Math.ceil(layout.size / clusterSize);
  const l2Tables = Math.ceil(dataClusters / (clusterSize / 8));
  const l1Clusters = Math.ceil((layout.l1Entries * 8) / clusterSize);
  const blockEntries = (clusterSize * 8) / 2 ** layout.refcountOrder;
  const others = 1 + l1Clusters + l2Tables + dataClusters;
  // Refcount blocks count themselves and the table: a few rounds reach the fixed point from below.
  let refcountBlocks = 1;
  let refcountTableClusters = 1;
  for (let before = 0; before !== refcountBlocks; ) {
    before = refcountBlocks;
    refcountTableClusters = Math.ceil((refcountBlocks * 8) / clusterSize);
    refcountBlocks = Math.ceil((others + refcountTableClusters + refcountBlocks) / blockEntries);
  }
  if (refcountTableClusters * clusterSize > maxRefcountTableBytes) {
    throw new BlockError('EFBIG', 'Reference count table too large');
  }
  const refcountTableOffset = clusterSize;
  const refcountBlockOffset = refcountTableOffset + refcountTableClusters * clusterSize;
  const l1TableOffset = refcountBlockOffset + refcountBlocks * clusterSize;
  const l2TableOffset = l1TableOffset + l1Clusters * clusterSize;
  const dataOffset = l2TableOffset + l2Tables * clusterSize;
  const totalClusters = others + refcountTableClusters + refcountBlocks;
  return {
    ...layout,
    refcountTableOffset,
    refcountTableClusters,
    refcountBlockOffset,
    refcountBlocks,
    // An empty disk has no table to point to.
    l1TableOffset: layout.l1Entries > 0 ? l1TableOffset : 0,
    l2TableOffset,
    l2Tables,
    dataOffset,
    dataClusters,
    totalClusters,
    // Like QEMU, an image without data ends with the last entry of its L1 table.
    fileBytes: dataClusters > 0 ? totalClusters * clusterSize : l1TableOffset + layout.l1Entries * 8,
  };
}

/** Writes everything but the header; flushes nothing. */
export async function writePreallocated(
  file: NewImageFile,
  plan: ImagePlan,
  preallocation: Preallocation,
): Promise<void> {
  const { clusterSize, totalClusters, l1Entries, l2Tables, dataClusters } = plan;
  // Reserving space does not help what is about to be written anyway.
  if (preallocation === 'falloc' || preallocation === 'full') {
    await file.truncate(plan.dataOffset);
    await file.truncate(plan.fileBytes, { preallocation });
  } else {
    await file.truncate(plan.fileBytes);
  }
  await writeOffsets(file, {
    at: plan.refcountTableOffset,
    entries: (plan.refcountTableClusters * clusterSize) / 8,
    used: plan.refcountBlocks,
    first: plan.refcountBlockOffset,
    high: 0,
    clusterSize,
  });
  await writeRefcounts(file, plan, totalClusters);
  if (l2Tables === 0) return;
  await writeOffsets(file, {
    at: plan.l1TableOffset,
    entries: l1Entries,
    used: l2Tables,
    first: plan.l2TableOffset,
    high: copiedHigh,
    clusterSize,
  });
  await writeOffsets(file, {
    at: plan.l2TableOffset,
    entries: (l2Tables * clusterSize) / 8,
    used: dataClusters,
    first: plan.dataOffset,
    high: copiedHigh,
    clusterSize,
  });
}

/** A table of `entries` u64, the first `used` of which are the offsets of consecutive clusters. */
interface OffsetTable {
  at: number;
  entries: number;
  used: number;
  first: number;
  high: number;
  clusterSize: number;
}

async function writeOffsets(file: NewImageFile, table: OffsetTable): Promise<void> {
  const entriesPerPiece = pieceBytes / 8;
  for (let index = 0; index < table.entries; index += entriesPerPiece) {
    const count = Math.min(entriesPerPiece, table.entries - index);
    const bytes = new Uint8Array(count * 8);
    const view = viewOf(bytes);
    for (let entry = 0; entry < count && index + entry < table.used; entry++) {
      const offset = table.first + (index + entry) * table.clusterSize;
      view.setUint32(entry * 8, table.high + Math.floor(offset / 2 ** 32));
      view.setUint32(entry * 8 + 4, offset % 2 ** 32);
    }
    await file.write(table.at + index * 8, bytes);
  }
}

async function writeRefcounts(file: NewImageFile, plan: ImagePlan, ones: number): Promise<void> {
  const bits = 2 ** plan.refcountOrder;
  const countsPerPiece = (pieceBytes * 8) / bits;
  const all = plan.refcountBlocks * ((plan.clusterSize * 8) / bits);
  for (let first = 0; first < all; first += countsPerPiece) {
    const count = Math.min(countsPerPiece, all - first);
    const bytes = new Uint8Array((count * bits) / 8);
    fillOnes(bytes, bits, Math.min(count, ones - first));
    await file.write(plan.refcountBlockOffset + (first * bits) / 8, bytes);
  }
}

/** The first `count` entries of `bits` each become 1 (section 2.2). */
function fillOnes(bytes: Uint8Array, bits: number, count: number): void {
  if (bits >= 8) {
    const width = bits / 8;
    for (let index = 0; index < count; index++) bytes[index * width + width - 1] = 1;
    return;
  }
  const perByte = 8 / bits;
  const whole = Math.floor(count / perByte);
  const pattern = bits === 1 ? 0xff : bits === 2 ? 0x55 : 0x11;
  bytes.fill(pattern, 0, whole);
  const rest = count - whole * perByte;
  if (rest > 0) bytes[whole] = pattern & (2 ** (rest * bits) - 1);
}
