/**
 * The layout of a new image, and so the size of its metadata (specification: qcow2, sections 1.8 and 11.2).
 *
 *   header | refcount table | refcount blocks | L1 table | LUKS header | L2 tables | data
 *
 * Each begins at a cluster, the header takes one, and every cluster has refcount 1. Without L2 tables and data this is
 * for all but enormous L1 tables what QEMU makes: refcount table in cluster 1, one refcount block in 2, L1 from 3. The
 * order does not change the size: with the whole disk mapped, `totalClusters` is what `measure` calls fully allocated.
 */
import { BlockError } from '../../../base/errors.ts';
import { maxRefcountTableBytes, refcountBlockEntries } from '../disk/header.ts';

/** What an image has beside its header and refcounts. */
interface ImageContents {
  /** Bytes. */
  readonly clusterSize: number;
  readonly refcountOrder: number;
  readonly l1Entries: number;
  readonly l2Tables: number;
  readonly dataClusters: number;
  /** Bytes of the header and key material of an encrypted image. */
  readonly encryptionBytes?: number;
}

/** Offsets in bytes, counts in clusters unless they say otherwise. */
export interface ImageLayout extends ImageContents {
  readonly refcountTableOffset: number;
  readonly refcountTableClusters: number;
  readonly refcountBlockOffset: number;
  readonly refcountBlocks: number;
  /** 0 without entries. */
  readonly l1TableOffset: number;
  /** Of as many bytes as are given; 0 without any. */
  readonly encryptionOffset: number;
  readonly l2TableOffset: number;
  readonly dataOffset: number;
  readonly totalClusters: number;
}

/** What maps a whole disk of `size` bytes. An L1 table has an entry for each L2 table. */
export function wholeDisk(
  size: number,
  { clusterSize, l2EntryBytes }: { clusterSize: number; l2EntryBytes: number },
): { l2Tables: number; dataClusters: number } {
  const dataClusters = Math.ceil(size / clusterSize);
  return { dataClusters, l2Tables: Math.ceil(dataClusters / (clusterSize / l2EntryBytes)) };
}

/** For an image that is to be made. EFBIG when the refcount table would be larger than any reader accepts. */
export function layOutImage(contents: ImageContents): ImageLayout {
  const layout = layoutOf(contents);
  if (layout.refcountTableClusters * layout.clusterSize > maxRefcountTableBytes) {
    throw new BlockError('EFBIG', 'Reference count table too large');
  }
  return layout;
}

/** The sizes, whether such an image can be made or not: `qemu-img measure` tells them, too. */
export function layoutOf(contents: ImageContents): ImageLayout {
  const { clusterSize, l1Entries, l2Tables, dataClusters, encryptionBytes = 0 } = contents;
  const l1Clusters = Math.ceil((l1Entries * 8) / clusterSize);
  const encryptionClusters = Math.ceil(encryptionBytes / clusterSize);
  const counted = 1 + l1Clusters + encryptionClusters + l2Tables + dataClusters;
  const { refcountBlocks, refcountTableClusters } = refcountClusters(counted, contents);
  const refcountTableOffset = clusterSize;
  const refcountBlockOffset = refcountTableOffset + refcountTableClusters * clusterSize;
  const behindBlocks = refcountBlockOffset + refcountBlocks * clusterSize;
  const behindL1 = behindBlocks + l1Clusters * clusterSize;
  const l2TableOffset = behindL1 + encryptionClusters * clusterSize;
  return {
    ...contents,
    refcountTableOffset,
    refcountTableClusters,
    refcountBlockOffset,
    refcountBlocks,
    l1TableOffset: l1Entries > 0 ? behindBlocks : 0,
    encryptionOffset: encryptionBytes > 0 ? behindL1 : 0,
    l2TableOffset,
    dataOffset: l2TableOffset + l2Tables * clusterSize,
    totalClusters: counted + refcountTableClusters + refcountBlocks,
  };
}

/** Refcounts count their own clusters, too: a few rounds reach the fixed point from below. */
function refcountClusters(
  counted: number,
  contents: ImageContents,
): { refcountBlocks: number; refcountTableClusters: number } {
  const perBlock = refcountBlockEntries(contents);
  let refcountBlocks = 1;
  let refcountTableClusters = 1;
  for (let before = 0; before !== refcountBlocks; ) {
    before = refcountBlocks;
    refcountTableClusters = Math.ceil((refcountBlocks * 8) / contents.clusterSize);
    refcountBlocks = Math.ceil((counted + refcountTableClusters + refcountBlocks) / perBlock);
  }
  return { refcountBlocks, refcountTableClusters };
}
