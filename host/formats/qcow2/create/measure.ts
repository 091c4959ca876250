/**
 * How large the file of a qcow2 image becomes: what `img measure` tells (specification: qcow2, section 11.2).
 *
 * A compressed source counts with the length of its data. With a backing file nobody knows what the image shares with it:
 * all counts as written. Options that have no part in the size are not looked at, as `qemu-img` does it.
 */
import { asBlockError, invalid } from '../../../base/errors.ts';
import { roundUp } from '../../../base/sectors.ts';
import type { CreateValues } from '../../../block/driver.ts';
import type { BlockNode } from '../../../block/node.ts';
import { type BlockStatus, statusAbove } from '../../../block/status.ts';
import { volumeHeaderBytes } from '../../../crypto/luks/new-volume.ts';
import { parseNewVolume } from '../../../crypto/luks/parse-options.ts';
import { maxClusterBits, maxL1Entries, minClusterBits } from '../disk/header.ts';
import { layoutOf, wholeDisk } from './layout.ts';

/** Bytes; those of a large disk are more than a double holds. */
export interface Measured {
  required: bigint;
  fullyAllocated: bigint;
  /** Beside `required`; absent where the source or the new image has no place for bitmaps. */
  bitmaps?: number;
}

interface MeasuredShape {
  version: 2 | 3;
  clusterSize: number;
  refcountOrder: number;
  extendedL2: boolean;
  encryptionBytes: number;
}

const encryptionWithVolume = 'luks';
const directoryEntryBytes = 24;
const minExtendedL2ClusterBytes = 16 * 1024;

/**
 * The size of a new image of `size` bytes, in whole sectors, or of a copy of `source`, which is as long. Errors: EINVAL with QEMU's words;
 * of I/O, from the source.
 */
export async function measureQcow2(
  values: CreateValues,
  size: bigint,
  source: BlockNode | undefined,
): Promise<Measured> {
  const shape = parseShape(values);
  const { clusterSize, refcountOrder } = shape;
  const isFilled = parseFilled(values['preallocation']);
  // Below 2^62 a double holds whole sectors.
  const diskBytes = roundUp(Number(size), clusterSize);
  const disk = wholeDisk(diskBytes, { clusterSize, l2EntryBytes: shape.extendedL2 ? 16 : 8 });
  // Of a copy it is told all the same.
  if (!source && disk.l2Tables > maxL1Entries) {
    throw invalid('The image size is too large (try using a larger cluster size)');
  }
  const { encryptionBytes } = shape;
  const layout = layoutOf({ clusterSize, refcountOrder, l1Entries: disk.l2Tables, ...disk, encryptionBytes });
  const fullyAllocated = layout.totalClusters * clusterSize;
  const bitmaps = source && shape.version === 3 ? bitmapBytes(source, clusterSize) : undefined;
  let dataBytes = 0;
  if (isFilled || (source && values['backing_file'] !== undefined)) dataBytes = diskBytes;
  else if (source) dataBytes = await copiedBytes(source, clusterSize);
  return {
    required: BigInt(fullyAllocated - diskBytes + dataBytes),
    fullyAllocated: BigInt(fullyAllocated),
    ...(bitmaps === undefined ? {} : { bitmaps }),
  };
}

function parseShape(values: CreateValues): MeasuredShape {
  const clusterSize = Number(values['cluster_size'] ?? 65536);
  const clusterBits = Math.log2(clusterSize);
  if (!Number.isInteger(clusterBits) || clusterBits < minClusterBits || clusterBits > maxClusterBits) {
    throw invalid('Cluster size must be a power of two between 512 and 2048k');
  }
  const extendedL2 = values['extended_l2'] === true;
  if (extendedL2 && clusterSize < minExtendedL2ClusterBytes) {
    throw invalid(
      `Extended L2 entries are only supported with cluster sizes of at least ${minExtendedL2ClusterBytes} bytes`,
    );
  }
  const version = parseLevel(values['compat']);
  const refcountBits = Number(values['refcount_bits'] ?? 16);
  const refcountOrder = Math.log2(refcountBits);
  if (!Number.isInteger(refcountOrder) || refcountBits < 1 || refcountBits > 64) {
    throw invalid('Refcount width must be a power of two and may not exceed 64 bits');
  }
  if (version === 2 && refcountBits !== 16) {
    throw invalid(
      'Different refcount widths than 16 bits require compatibility level 1.1 or above (use compat=1.1 or greater)',
    );
  }
  const hasVolume = values['encrypt.format'] === encryptionWithVolume;
  const encryptionBytes = hasVolume ? volumeHeaderBytes(parseNewVolume(values, 'encrypt.')) : 0;
  return { version, clusterSize, refcountOrder, extendedL2, encryptionBytes };
}

/** Only as numbers, unlike when an image is made. */
function parseLevel(compat: CreateValues[string]): 2 | 3 {
  if (compat === undefined || compat === '1.1') return 3;
  if (compat === '0.10') return 2;
  throw invalid(`Invalid compatibility level: '${compat}'`);
}

/** Whether all of the disk has space from the start. */
function parseFilled(preallocation: CreateValues[string] = 'off'): boolean {
  if (!['off', 'metadata', 'falloc', 'full'].includes(String(preallocation))) {
    throw invalid(`invalid parameter value: ${preallocation}`);
  }
  return preallocation === 'falloc' || preallocation === 'full';
}

/** Of the clusters in which `source` or its backing files have data. */
async function copiedBytes(source: BlockNode, clusterSize: number): Promise<number> {
  const node = source.skipFilters();
  const { length } = source;
  let bytes = 0;
  for (let at = 0; at < length; ) {
    const status = await statusOf(node, at, length - at);
    let end = at + status.bytes;
    if (status.data && !status.zero && status.allocated) {
      end = roundUp(end, clusterSize);
      bytes += end - (at - (at % clusterSize));
    }
    at = end;
  }
  return bytes;
}

async function statusOf(node: BlockNode, offset: number, bytes: number): Promise<BlockStatus> {
  try {
    return await statusAbove(node, undefined, offset, bytes);
  } catch (error) {
    throw asBlockError(error).within('Unable to get block status');
  }
}

/** For the persistent bitmaps of `source`, with all their bits stored; undefined when it cannot have any. */
function bitmapBytes(source: BlockNode, clusterSize: number): number | undefined {
  const storage = source.driver.bitmapStorage;
  if (!storage?.hasPlace) return undefined;
  let bytes = 0;
  let directoryBytes = 0;
  for (const { name, granularity } of storage.list()) {
    const bits = Math.ceil(source.length / granularity);
    const dataClusters = Math.ceil(Math.ceil(bits / 8) / clusterSize);
    bytes += dataClusters * clusterSize + roundUp(dataClusters * 8, clusterSize);
    directoryBytes += roundUp(directoryEntryBytes + new TextEncoder().encode(name).length, 8);
  }
  return bytes + roundUp(directoryBytes, clusterSize);
}
