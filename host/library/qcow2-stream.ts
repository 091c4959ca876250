/**
 * A disk as the bytes of a qcow2 file, from the first to the last: for a download, which cannot go back.
 *
 * What is data is settled first, then all tables come before all data (specification: qcow2, section 1): header, refcount
 * table and blocks, L1 table, L2 tables, clusters in the order of the disk. Clusters of zeros are left out. There is no
 * backing file, compression or snapshot.
 */
import type { BlockNode } from '../block/node.ts';
import { statusAbove } from '../block/status.ts';
import { type ImageLayout, layOutImage, wholeDisk } from '../formats/qcow2/create/layout.ts';
import { serializeNewHeader } from '../formats/qcow2/create/new-header.ts';
import { refcountPieces } from '../formats/qcow2/create/tables.ts';
import { copiedFlag } from '../formats/qcow2/disk/entry.ts';

const clusterBytes = 65536;
const l2EntryBytes = 8;
const l2Entries = clusterBytes / l2EntryBytes;
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
  const plan = planDisk(node.length, clusters);
  return { bytes: plan.layout.totalClusters * clusterBytes, chunks: (read) => chunksOf(plan, read) };
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

interface Plan {
  readonly size: number;
  /** Numbers of those that hold data, in order. */
  readonly clusters: readonly number[];
  /** Indexes into the L1 table of the L2 tables there are. */
  readonly l2Tables: readonly number[];
  readonly layout: ImageLayout;
}

function planDisk(size: number, clusters: readonly number[]): Plan {
  const l2Tables = [...new Set(clusters.map((cluster) => Math.floor(cluster / l2Entries)))];
  const layout = layOutImage({
    clusterSize: clusterBytes,
    refcountOrder: 4,
    l1Entries: wholeDisk(size, { clusterSize: clusterBytes, l2EntryBytes }).l2Tables,
    l2Tables: l2Tables.length,
    dataClusters: clusters.length,
  });
  return { size, clusters, l2Tables, layout };
}

async function* chunksOf(
  { size, clusters, l2Tables, layout }: Plan,
  read: (offset: number, into: Uint8Array) => Promise<void>,
): AsyncGenerator<Uint8Array, void> {
  yield header(size, layout);
  for (const { bytes } of refcountPieces(layout)) yield bytes;
  yield table(Math.ceil((layout.l1Entries * 8) / clusterBytes), (view) => {
    l2Tables.forEach((index, i) => {
      view.setBigUint64(index * 8, BigInt(layout.l2TableOffset + i * clusterBytes) | copiedFlag);
    });
  });
  let at = 0;
  for (const index of l2Tables) {
    yield table(1, (view) => {
      const end = (index + 1) * l2Entries;
      for (let cluster = clusters[at]; cluster !== undefined && cluster < end; cluster = clusters[++at]) {
        const entry = BigInt(layout.dataOffset + at * clusterBytes) | copiedFlag;
        view.setBigUint64((cluster - index * l2Entries) * l2EntryBytes, entry);
      }
    });
  }
  for (let first = 0; first < clusters.length; ) {
    const cluster = clusters[first]!; // `first` is below the length.
    let count = 1;
    while (count < batch && clusters[first + count] === cluster + count) count++;
    const data = new Uint8Array(count * clusterBytes);
    const offset = cluster * clusterBytes;
    await read(offset, data.subarray(0, Math.min(data.length, size - offset)));
    yield data;
    first += count;
  }
}

function header(size: number, layout: ImageLayout): Uint8Array {
  const cluster = new Uint8Array(clusterBytes);
  const image = {
    version: 3,
    size,
    lazyRefcounts: false,
    compressionType: 'zlib',
    backingFormat: undefined,
    backingFileName: undefined,
  } as const;
  cluster.set(serializeNewHeader(image, layout));
  return cluster;
}

function table(clusters: number, fill: (view: DataView) => void): Uint8Array {
  const bytes = new Uint8Array(clusters * clusterBytes);
  fill(new DataView(bytes.buffer));
  return bytes;
}
