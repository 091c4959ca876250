/**
 * The directory of persistent dirty bitmaps and their tables, as they are on disk (specification: qcow2, sections 6.2 and
 * 6.3).
 *
 * Malformed entries fail with QEMU's messages. An entry with extra data is kept and listed (QEMU refuses the image), and
 * so are the bytes of a name that is not UTF-8. What is stored when is in live/stored-bitmaps.ts.
 */
import { invalid } from '../../../base/errors.ts';
import { roundUp } from '../../../base/sectors.ts';
import { decodeText } from '../../../base/text.ts';
import { viewOf } from '../../../base/view-of.ts';
import type { BitmapsExtension } from './extensions.ts';
import type { ReadableImageFile } from './image-file.ts';

const fixedBytes = 24;
export const maxNameBytes = 1023;
/** Of those that are not broken, with a little extra data. */
const maxEntryBytes = 4096;
const maxTableEntries = 2 ** 27;
export const maxBitmapBytes = 512 * 1024 * 1024;
const minGranularityBits = 9;
export const maxGranularityBits = 31;
const dirtyTracking = 1;
export const bitmapFlag = { inUse: 1, auto: 2, extraDataCompatible: 4 } as const;
const knownFlags = bitmapFlag.inUse | bitmapFlag.auto | bitmapFlag.extraDataCompatible;

export interface BitmapEntry {
  /** What is not UTF-8 shows as replacement characters. */
  readonly name: string;
  readonly nameBytes: Uint8Array;
  readonly extraData: Uint8Array;
  /** Bytes per bit. */
  readonly granularity: number;
  readonly flags: number;
  readonly tableOffset: number;
  readonly tableEntries: number;
}

/** Reads and validates the whole directory. EINVAL with what is wrong. */
export async function readBitmapDirectory(
  file: ReadableImageFile,
  extension: BitmapsExtension,
  clusterSize: number,
): Promise<BitmapEntry[]> {
  if (extension.directoryBytes === 0) throw invalid('Requested bitmap directory size is zero');
  // Hardly more than the file has: behind its end there are zeros, which are no entry.
  const stored = Math.max(0, file.length - extension.directoryOffset);
  const bytes = new Uint8Array(Math.min(extension.directoryBytes, stored + maxEntryBytes));
  await file.read(extension.directoryOffset, bytes);
  const entries: BitmapEntry[] = [];
  const names = new Set<string>();
  for (let at = 0; at < bytes.length; ) {
    if (at + fixedBytes > bytes.length) throw brokenDirectory();
    const view = new DataView(bytes.buffer, at, fixedBytes);
    const nameLength = view.getUint16(18);
    const extraLength = view.getUint32(20);
    const entryLength = roundUp(fixedBytes + extraLength + nameLength, 8);
    if (at + entryLength > bytes.length) throw brokenDirectory();
    if (entries.length === extension.bitmapCount) {
      throw invalid('More bitmaps found than specified in header extension');
    }
    const nameAt = at + fixedBytes + extraLength;
    const extraData = bytes.slice(at + fixedBytes, nameAt);
    const entry = parseEntry(view, bytes.slice(nameAt, nameAt + nameLength), { clusterSize, extraData });
    if (names.has(entry.name)) throw invalid(`Bitmap already exists: ${entry.name}`);
    names.add(entry.name);
    entries.push(entry);
    at += entryLength;
  }
  if (entries.length < extension.bitmapCount) {
    throw invalid('Less bitmaps found than specified in header extension');
  }
  return entries;
}

function brokenDirectory() {
  return invalid('Broken bitmap directory');
}

function parseEntry(
  view: DataView,
  nameBytes: Uint8Array,
  { clusterSize, extraData }: { clusterSize: number; extraData: Uint8Array },
): BitmapEntry {
  const name = decodeText(nameBytes);
  const tableOffset = view.getBigUint64(0);
  const tableEntries = view.getUint32(8);
  const flags = view.getUint32(12);
  const granularityBits = view.getUint8(17);
  const valid =
    tableOffset !== 0n &&
    tableOffset % BigInt(clusterSize) === 0n &&
    tableOffset <= BigInt(Number.MAX_SAFE_INTEGER) &&
    tableEntries > 0 &&
    tableEntries <= maxTableEntries &&
    tableEntries * clusterSize <= maxBitmapBytes &&
    (flags & ~knownFlags) === 0 &&
    view.getUint8(16) === dirtyTracking &&
    granularityBits >= minGranularityBits &&
    granularityBits <= maxGranularityBits &&
    nameBytes.length > 0 &&
    nameBytes.length <= maxNameBytes &&
    !nameBytes.includes(0);
  if (!valid) throw invalid(`Bitmap '${name}' doesn't satisfy the constraints`);
  const granularity = 2 ** granularityBits;
  return { name, nameBytes, extraData, granularity, flags, tableOffset: Number(tableOffset), tableEntries };
}

/** Bytes of an entry for a name of `nameBytes` bytes. */
export function entryBytes(nameBytes: number, extraBytes = 0): number {
  return roundUp(fixedBytes + extraBytes + nameBytes, 8);
}

/** Bytes that an entry takes in the directory. */
export function lengthOf({ nameBytes, extraData }: BitmapEntry): number {
  return entryBytes(nameBytes.length, extraData.length);
}

/** The whole directory. */
export function serializeBitmapDirectory(entries: readonly BitmapEntry[]): Uint8Array {
  const bytes = new Uint8Array(entries.reduce((sum, entry) => sum + lengthOf(entry), 0));
  const view = viewOf(bytes);
  let at = 0;
  for (const entry of entries) {
    view.setBigUint64(at, BigInt(entry.tableOffset));
    view.setUint32(at + 8, entry.tableEntries);
    view.setUint32(at + 12, entry.flags);
    view.setUint8(at + 16, dirtyTracking);
    view.setUint8(at + 17, Math.log2(entry.granularity));
    view.setUint16(at + 18, entry.nameBytes.length);
    view.setUint32(at + 20, entry.extraData.length);
    bytes.set(entry.extraData, at + fixedBytes);
    bytes.set(entry.nameBytes, at + fixedBytes + entry.extraData.length);
    at += lengthOf(entry);
  }
  return bytes;
}

/** What an entry of a bitmap table says when it is no offset of a cluster. */
export const tableEntry = { allZeros: 0, allOnes: 1 } as const;

export function serializeBitmapTable(table: Float64Array): Uint8Array {
  const bytes = new Uint8Array(table.length * 8);
  const view = viewOf(bytes);
  for (const [index, value] of table.entries()) view.setBigUint64(index * 8, BigInt(value));
  return bytes;
}

/** Offsets of the data clusters in a bitmap table. */
export function dataClusters(table: Float64Array): Float64Array {
  return table.filter((value) => value > tableEntry.allOnes);
}

/** A bitmap table: offsets of clusters, or `tableEntry`. EINVAL for a malformed entry. */
export async function readBitmapTable(
  file: ReadableImageFile,
  entry: BitmapEntry,
  clusterSize: number,
): Promise<Float64Array> {
  // 512 MiB of bitmap in clusters of 512 bytes at most: 8 MiB of table.
  const bytes = new Uint8Array(entry.tableEntries * 8);
  await file.read(entry.tableOffset, bytes);
  const view = viewOf(bytes);
  const table = new Float64Array(entry.tableEntries);
  for (let at = 0; at < bytes.length; at += 8) {
    const high = view.getUint32(at);
    const low = view.getUint32(at + 4);
    table[at / 8] = low;
    if (high === 0 && low <= tableEntry.allOnes) continue;
    const offset = high * 2 ** 32 + low;
    if (high >= 2 ** 24 || offset % clusterSize !== 0 || !Number.isSafeInteger(offset)) {
      throw invalid(
        `Could not read bitmap_table table from image for bitmap '${entry.name}': Invalid argument`,
      );
    }
    table[at / 8] = offset;
  }
  return table;
}
