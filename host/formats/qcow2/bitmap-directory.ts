/**
 * The directory of persistent dirty bitmaps, read-only (specification: qcow2, sections 6.2 and 6.3).
 *
 * Malformed entries fail with QEMU's messages. An entry with extra data is kept and listed (QEMU refuses the image).
 * The bitmaps' own tables are read by the consistency check only.
 */
import { invalid } from '../../base/errors.ts';
import type { BitmapsExtension } from './extensions.ts';
import { type ReadableImageFile, viewOf } from './image-file.ts';

const fixedBytes = 24;
const maxNameBytes = 1023;
const maxTableEntries = 2 ** 27;
const maxBitmapBytes = 512 * 1024 * 1024;
const minGranularityBits = 9;
const maxGranularityBits = 31;
const dirtyTracking = 1;
export const bitmapFlag = { inUse: 1, auto: 2, extraDataCompatible: 4 } as const;
const knownFlags = bitmapFlag.inUse | bitmapFlag.auto | bitmapFlag.extraDataCompatible;

export interface BitmapEntry {
  readonly name: string;
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
  // Never more than the file has: a directory that reaches past its end is broken, and not worth its memory.
  if (extension.directoryOffset + extension.directoryBytes > file.length) throw brokenDirectory();
  const bytes = new Uint8Array(extension.directoryBytes);
  await file.read(extension.directoryOffset, bytes);
  const entries: BitmapEntry[] = [];
  const names = new Set<string>();
  for (let at = 0; at < bytes.length; ) {
    if (at + fixedBytes > bytes.length) throw brokenDirectory();
    const view = new DataView(bytes.buffer, at, fixedBytes);
    const nameLength = view.getUint16(18);
    const extraLength = view.getUint32(20);
    const entryLength = Math.ceil((fixedBytes + extraLength + nameLength) / 8) * 8;
    if (at + entryLength > bytes.length) throw brokenDirectory();
    if (entries.length === extension.bitmapCount) {
      throw invalid('More bitmaps found than specified in header extension');
    }
    const nameAt = at + fixedBytes + extraLength;
    const entry = parseEntry(view, bytes.subarray(nameAt, nameAt + nameLength), clusterSize);
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

function parseEntry(view: DataView, nameBytes: Uint8Array, clusterSize: number): BitmapEntry {
  const name = new TextDecoder().decode(nameBytes);
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
  return { name, granularity: 2 ** granularityBits, flags, tableOffset: Number(tableOffset), tableEntries };
}

/** Offsets of the data clusters that a bitmap table names. EINVAL for a malformed entry. */
export async function readBitmapTable(
  file: ReadableImageFile,
  entry: BitmapEntry,
  clusterSize: number,
): Promise<Float64Array> {
  // 512 MiB of bitmap in clusters of 512 bytes at most: 8 MiB of table.
  const bytes = new Uint8Array(entry.tableEntries * 8);
  await file.read(entry.tableOffset, bytes);
  const view = viewOf(bytes);
  const offsets: number[] = [];
  for (let at = 0; at < bytes.length; at += 8) {
    const high = view.getUint32(at);
    const low = view.getUint32(at + 4);
    if (high === 0 && low <= 1) continue;
    const offset = high * 2 ** 32 + low;
    if (high >= 2 ** 24 || offset % clusterSize !== 0 || !Number.isSafeInteger(offset)) {
      throw invalid(
        `Could not read bitmap_table table from image for bitmap '${entry.name}': Invalid argument`,
      );
    }
    offsets.push(offset);
  }
  return Float64Array.from(offsets);
}
