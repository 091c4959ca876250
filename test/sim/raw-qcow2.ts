/**
 * A second opinion on qcow2 images: reads guest data straight off the bytes of a file, with nothing of the engine, and
 * makes an internal snapshot by hand. Small standard images with zlib compression only.
 */
import { inflateRawSync } from 'node:zlib';

const offsetMask = 0x00fffffffffffe00n;
const copied = 1n << 63n;
const compressed = 1n << 62n;

export class RawImage {
  readonly view: DataView;
  readonly clusterBits: number;
  readonly clusterSize: number;
  readonly size: number;

  constructor(readonly bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.clusterBits = this.view.getUint32(20);
    this.clusterSize = 2 ** this.clusterBits;
    this.size = this.u64(24);
  }

  /** What lies past the end is zero. */
  entry(offset: number): bigint {
    return offset + 8 <= this.bytes.length ? this.view.getBigUint64(offset) : 0n;
  }

  private u64(offset: number): number {
    return Number(this.entry(offset));
  }

  get l1(): { offset: number; entries: number } {
    return { offset: this.u64(40), entries: this.view.getUint32(36) };
  }

  get backingFile(): string | undefined {
    const [offset, bytes] = [this.u64(8), this.view.getUint32(16)];
    return offset === 0 ? undefined : new TextDecoder().decode(this.bytes.subarray(offset, offset + bytes));
  }

  /** The whole disk; what is not allocated is as in `below`. */
  readDisk(below: Uint8Array): Uint8Array {
    const disk = new Uint8Array(this.size);
    disk.set(below.subarray(0, this.size));
    for (let start = 0; start < disk.length; start += this.clusterSize) {
      const cluster = this.readAllocated(start / this.clusterSize);
      if (cluster) disk.set(cluster.subarray(0, disk.length - start), start);
    }
    return disk;
  }

  /** The whole guest cluster. */
  readCluster(cluster: number): Uint8Array {
    return this.readAllocated(cluster) ?? new Uint8Array(this.clusterSize);
  }

  private readAllocated(cluster: number): Uint8Array | undefined {
    const perTable = this.clusterSize / 8;
    const { offset, entries } = this.l1;
    const index = Math.floor(cluster / perTable);
    const result = new Uint8Array(this.clusterSize);
    const table = index < entries ? Number(this.entry(offset + index * 8) & offsetMask) : 0;
    if (table === 0) return undefined;
    const entry = this.entry(table + (cluster % perTable) * 8);
    if ((entry & compressed) !== 0n) return this.inflate(entry);
    const data = Number(entry & offsetMask);
    if ((entry & 1n) !== 0n) return result;
    if (data === 0) return undefined;
    result.set(this.bytes.subarray(data, data + this.clusterSize));
    return result;
  }

  /** Where a compressed cluster is; its stream may end before the end. */
  stream(entry: bigint): { offset: number; end: number } {
    const offsetBits = BigInt(70 - this.clusterBits);
    const offset = Number(entry & ((1n << offsetBits) - 1n));
    const sectors = Number((entry >> offsetBits) & ((1n << BigInt(this.clusterBits - 8)) - 1n)) + 1;
    return { offset, end: offset - (offset % 512) + sectors * 512 };
  }

  private inflate(entry: bigint): Uint8Array {
    const { offset, end } = this.stream(entry);
    return new Uint8Array(inflateRawSync(this.bytes.subarray(offset, end), { finishFlush: 2 }));
  }
}

/**
 * The image with everything that is mapped now also in an internal snapshot: counts of 2, no COPIED flags. The image is
 * clean, has refcounts of 16 bits and refcount blocks with room for what is added.
 */
export function withSnapshot(bytes: Uint8Array): Uint8Array {
  const old = new RawImage(bytes);
  const { clusterSize } = old;
  const l1Start = Math.ceil(bytes.length / clusterSize) * clusterSize;
  const l1Clusters = Math.ceil((old.l1.entries * 8) / clusterSize);
  const tableStart = l1Start + l1Clusters * clusterSize;
  const grown = new Uint8Array(tableStart + clusterSize);
  grown.set(bytes);
  const image = new RawImage(grown);
  const { view } = image;
  const count = (offset: number): void => {
    const cluster = Math.floor(offset / clusterSize);
    const perBlock = clusterSize / 2;
    const block = Number(image.entry(Number(image.entry(48)) + Math.floor(cluster / perBlock) * 8));
    if (block === 0) throw new Error(`no refcount block for cluster ${cluster}`);
    const at = block + (cluster % perBlock) * 2;
    view.setUint16(at, view.getUint16(at) + 1);
  };
  for (let offset = l1Start; offset < grown.length; offset += clusterSize) count(offset);
  const { offset: l1, entries } = image.l1;
  for (let i = 0; i < entries; i++) {
    const table = image.entry(l1 + i * 8) & ~copied;
    view.setBigUint64(l1 + i * 8, table);
    view.setBigUint64(l1Start + i * 8, table);
    if (table === 0n) continue;
    count(Number(table));
    for (let at = Number(table); at < Number(table) + clusterSize; at += 8) {
      const entry = image.entry(at) & ~copied;
      view.setBigUint64(at, entry);
      if ((entry & compressed) !== 0n) {
        const { offset, end } = image.stream(entry);
        for (let host = offset - (offset % clusterSize); host < end; host += clusterSize) count(host);
      } else if ((entry & offsetMask) !== 0n) count(Number(entry & offsetMask));
    }
  }
  view.setBigUint64(tableStart, BigInt(l1Start));
  view.setUint32(tableStart + 8, entries);
  view.setUint16(tableStart + 12, 1);
  view.setUint16(tableStart + 14, 1);
  // Extra data: state of a machine that has none, and the size of the disk.
  view.setUint32(tableStart + 36, 16);
  view.setBigUint64(tableStart + 48, BigInt(image.size));
  grown.set([0x31, 0x73], tableStart + 56);
  view.setUint32(60, 1);
  view.setBigUint64(64, BigInt(tableStart));
  return grown;
}
