/**
 * A disk as the bytes of a qcow2 file, from the first to the last: for a download, which cannot go back.
 *
 * What is data is settled first, then all tables come before all data (specification: qcow2, section 1): header, refcount
 * table and blocks, L1 table, L2 tables, clusters in the order of the disk. Clusters of zeros are left out. There is no
 * backing file, compression or snapshot.
 */
import type { BlockNode } from '../block/node.ts';
import { statusAbove } from '../block/status.ts';

const clusterBits = 16;
const clusterBytes = 1 << clusterBits;
const l2Entries = clusterBytes / 8;
const refcountBits = 16;
const blockEntries = (clusterBytes * 8) / refcountBits;
const headerBytes = 112;
/** The cluster has one reference and may be written in place. */
const copied = 1n << 63n;
/** Clusters of data that go out together. */
const batch = 16;

interface Qcow2Stream {
  /** Length of the file. */
  readonly bytes: number;
  chunks(read: (offset: number, into: Uint8Array) => Promise<void>): AsyncGenerator<Uint8Array, void>;
}

/** Looks up what is data in `node`, which must not change from now on. Errors: of I/O. */
export async function planQcow2(node: BlockNode): Promise<Qcow2Stream> {
  const clusters = await dataClusters(node);
  const plan = layOut(node.length, clusters);
  return { bytes: plan.totalClusters * clusterBytes, chunks: (read) => chunksOf(plan, read) };
}

/** Numbers of the clusters that may hold anything but zeros, in order. */
async function dataClusters(node: BlockNode): Promise<number[]> {
  const clusters: number[] = [];
  for (let offset = 0; offset < node.length; ) {
    const { bytes, data, zero } = await statusAbove(node, undefined, offset, node.length - offset);
    if (data || !zero) {
      const end = Math.ceil((offset + bytes) / clusterBytes);
      for (let cluster = Math.floor(offset / clusterBytes); cluster < end; cluster++) {
        if (clusters.at(-1) !== cluster) clusters.push(cluster);
      }
    }
    offset += bytes;
  }
  return clusters;
}

interface Layout {
  readonly size: number;
  readonly clusters: readonly number[];
  /** Indexes into the L1 table of the L2 tables there are. */
  readonly l2Tables: readonly number[];
  readonly l1Entries: number;
  readonly l1Clusters: number;
  readonly refcountTableClusters: number;
  readonly refcountBlocks: number;
  readonly totalClusters: number;
}

function layOut(size: number, clusters: readonly number[]): Layout {
  const l2Tables = [...new Set(clusters.map((cluster) => Math.floor(cluster / l2Entries)))];
  const l1Entries = Math.ceil(size / (clusterBytes * l2Entries));
  const l1Clusters = Math.ceil((l1Entries * 8) / clusterBytes);
  const counted = 1 + l1Clusters + l2Tables.length + clusters.length;
  let refcountBlocks = 1;
  let refcountTableClusters = 1;
  // Blocks count themselves too: a few rounds settle how many there are.
  for (;;) {
    const total = counted + refcountBlocks + refcountTableClusters;
    const blocks = Math.ceil(total / blockEntries);
    const tables = Math.ceil((blocks * 8) / clusterBytes);
    if (blocks === refcountBlocks && tables === refcountTableClusters) {
      return {
        size,
        clusters,
        l2Tables,
        l1Entries,
        l1Clusters,
        refcountTableClusters,
        refcountBlocks,
        totalClusters: total,
      };
    }
    refcountBlocks = Math.max(blocks, refcountBlocks);
    refcountTableClusters = Math.max(tables, refcountTableClusters);
  }
}

async function* chunksOf(
  plan: Layout,
  read: (offset: number, into: Uint8Array) => Promise<void>,
): AsyncGenerator<Uint8Array, void> {
  const { refcountTableClusters, refcountBlocks, l1Clusters, l2Tables, clusters, size } = plan;
  const firstBlock = 1 + refcountTableClusters;
  const firstL1 = firstBlock + refcountBlocks;
  const firstL2 = firstL1 + l1Clusters;
  const firstData = firstL2 + l2Tables.length;
  yield header(plan, firstL1);
  yield table(refcountTableClusters, (view) => {
    for (let i = 0; i < refcountBlocks; i++) view.setBigUint64(i * 8, address(firstBlock + i));
  });
  for (let block = 0; block < refcountBlocks; block++) {
    yield table(1, (view) => {
      const counted = Math.min(blockEntries, plan.totalClusters - block * blockEntries);
      for (let i = 0; i < counted; i++) view.setUint16(i * 2, 1);
    });
  }
  yield table(l1Clusters, (view) => {
    l2Tables.forEach((index, i) => {
      view.setBigUint64(index * 8, address(firstL2 + i) | copied);
    });
  });
  let at = 0;
  for (const index of l2Tables) {
    yield table(1, (view) => {
      const end = (index + 1) * l2Entries;
      for (let cluster = clusters[at]; cluster !== undefined && cluster < end; cluster = clusters[++at]) {
        view.setBigUint64((cluster - index * l2Entries) * 8, address(firstData + at) | copied);
      }
    });
  }
  for (let first = 0; first < clusters.length; ) {
    let count = 1;
    while (count < batch && clusters[first + count] === clusters[first]! + count) count++;
    const data = new Uint8Array(count * clusterBytes);
    const offset = clusters[first]! * clusterBytes;
    await read(offset, data.subarray(0, Math.min(data.length, size - offset)));
    yield data;
    first += count;
  }
}

function header({ size, l1Entries, refcountTableClusters }: Layout, firstL1: number): Uint8Array {
  return table(1, (view) => {
    view.setUint32(0, 0x514649fb);
    view.setUint32(4, 3);
    view.setUint32(20, clusterBits);
    view.setBigUint64(24, BigInt(size));
    view.setUint32(36, l1Entries);
    view.setBigUint64(40, address(firstL1));
    view.setBigUint64(48, address(1));
    view.setUint32(56, refcountTableClusters);
    view.setUint32(96, Math.log2(refcountBits));
    view.setUint32(100, headerBytes);
  });
}

function table(clusters: number, fill: (view: DataView) => void): Uint8Array {
  const bytes = new Uint8Array(clusters * clusterBytes);
  fill(new DataView(bytes.buffer));
  return bytes;
}

function address(cluster: number): bigint {
  return BigInt(cluster) * BigInt(clusterBytes);
}
