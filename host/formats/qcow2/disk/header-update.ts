/**
 * Changing the header of an image that is in use (specification: qcow2, section 1.7).
 *
 * What is on disk is read, the wanted fields change, and only the 512-byte sectors that differ are written, so fields
 * that the core switched meanwhile stay as they are. The pointers and feature bits are all in sector 0, and one sector
 * is written entirely or not at all: most changes are one write and one flush. When several sectors change, at every
 * instant sector 0 on disk describes a valid header:
 *
 *   1. If the old backing file name would be overwritten, a copy of it further behind; and if that was so, or if the old
 *      extensions reach into the sectors that will change, a sector 0 that points to the copy and whose extensions end
 *      within it. It leaves out the feature name table, which is advisory.
 *   2. The later sectors. The new backing file name lies beside the old one, as far as cluster 0 has room.
 *   3. The final sector 0, which makes them visible.
 *
 * The caller serialises updates of one image. Guard bits of structures elsewhere (autoclear, dirty) are the caller's
 * order of calls: each call is durable when it returns.
 */
import { invalid } from '../../../base/errors.ts';
import { roundUp, sectorBytes } from '../../../base/sectors.ts';
import { viewOf } from '../../../base/view-of.ts';
import {
  type BitmapsExtension,
  extensionType,
  type HeaderExtension,
  hasStaleBitmaps,
  serializeBitmapsExtension,
} from './extensions.ts';
import { autoclear, featureNameTable, hasFeatureNames } from './feature-bits.ts';
import {
  headerBytesV2,
  headerBytesV3,
  maxBackingNameBytes,
  parseHeader,
  type Qcow2Header,
  serializeHeader,
} from './header.ts';
import type { ImageFile } from './image-file.ts';

export interface HeaderChanges {
  setIncompatible?: bigint;
  clearIncompatible?: bigint;
  setCompatible?: bigint;
  clearCompatible?: bigint;
  setAutoclear?: bigint;
  clearAutoclear?: bigint;
  /** Null removes it. */
  backing?: { filename: string; format: string | undefined } | null;
  /** Virtual size in bytes. */
  size?: number;
  l1Table?: { offset: number; entries: number };
  refcountTable?: { offset: number; clusters: number };
  snapshotTable?: { offset: number; count: number };
  /** Where the bitmap directory is; null without one. The autoclear bit that says so changes along. */
  bitmaps?: BitmapsExtension | null;
  /** The journal that the image is tied to; null without one. The autoclear bit that says so changes along. */
  bitmapJournal?: Uint8Array | null;
  /** Another version. What version 2 does not know goes; what it has no field for must be as it is there. */
  version?: 2 | 3;
  /** Together with a table of that width. */
  refcountOrder?: number;
  /** Types of extensions to remove. */
  dropExtensions?: readonly number[];
}

/** Reads the header as it is on disk, with none of the checks that open makes. */
async function loadHeader(file: ImageFile): Promise<{ header: Qcow2Header; bytes: Uint8Array }> {
  const start = new Uint8Array(sectorBytes);
  await file.read(0, start);
  const bytes = new Uint8Array(2 ** viewOf(start).getUint32(20));
  await file.read(0, bytes);
  // In use means it was parsed before; the lenient flags let repair work on what it is about to repair.
  return { header: parseHeader(bytes, { readOnly: true, check: true, noIo: true }), bytes };
}

/**
 * Applies `changes` and makes them durable. Returns the header as it is then. ENOSPC when cluster 0 has no room;
 * nothing is written then.
 */
export async function updateHeader(file: ImageFile, changes: HeaderChanges): Promise<Qcow2Header> {
  const { header: old, bytes: oldBytes } = await loadHeader(file);
  const target = applyChanges(old, changes);
  const newBytes = layOut(oldBytes, old, target);
  const changed = changedSectors(oldBytes, newBytes);
  const later = changed.filter((sector) => sector > 0);
  if (later.length > 0) {
    await bridge(file, { old, oldBytes, newBytes });
    await writeSectors(file, later, newBytes);
    await file.flush();
  }
  if (changed.length > 0) await writeDurably(file, 0, newBytes.slice(0, sectorBytes));
  return parseHeader(newBytes, { readOnly: true, check: true, noIo: true });
}

/**
 * What must be in the header before anything else of an image opened for writing changes (section 1.2, step 14): autoclear
 * bits whose features are not kept up to date here are cleared, and a bitmaps extension without its bit is dropped: its
 * clusters leak. Writes nothing when there is nothing to do.
 */
export async function prepareForWriting(file: ImageFile, header: Qcow2Header): Promise<Qcow2Header> {
  // The observer of the graph breaks the tie to a journal that it does not keep.
  const kept =
    autoclear.dataFileRaw | autoclear.bitmapJournal | (header.bitmaps === undefined ? 0n : autoclear.bitmaps);
  const clearAutoclear = header.autoclearFeatures & ~kept;
  const stale = hasStaleBitmaps(header);
  if (clearAutoclear === 0n && !stale) return header;
  return updateHeader(file, { clearAutoclear, dropExtensions: stale ? [extensionType.bitmaps] : [] });
}

async function writeDurably(file: ImageFile, offset: number, bytes: Uint8Array): Promise<void> {
  await file.write(offset, bytes);
  await file.flush();
}

function applyChanges(old: Qcow2Header, changes: HeaderChanges): Qcow2Header {
  const bits = (value: bigint, set = 0n, clear = 0n) => (value | set) & ~clear;
  let extensions: readonly HeaderExtension[] = old.extensions;
  if (changes.dropExtensions !== undefined) {
    const dropped = changes.dropExtensions;
    extensions = extensions.filter(({ type }) => !dropped.includes(type));
  }
  let autoclearFeatures = bits(old.autoclearFeatures, changes.setAutoclear, changes.clearAutoclear);
  if (changes.bitmaps !== undefined) {
    extensions = withBitmaps(extensions, changes.bitmaps);
    autoclearFeatures = bits(
      autoclearFeatures,
      changes.bitmaps ? autoclear.bitmaps : 0n,
      changes.bitmaps ? 0n : autoclear.bitmaps,
    );
  }
  if (changes.bitmapJournal !== undefined) {
    extensions = withLast(extensions, extensionType.bitmapJournal, changes.bitmapJournal);
    const isTied = changes.bitmapJournal !== null;
    const bit = autoclear.bitmapJournal;
    autoclearFeatures = bits(autoclearFeatures, isTied ? bit : 0n, isTied ? 0n : bit);
  }
  if (changes.backing !== undefined) extensions = withBackingFormat(extensions, changes.backing?.format);
  const filename = changes.backing === undefined ? undefined : encodeBackingName(changes.backing?.filename);
  return withVersion(changes.version, {
    ...old,
    incompatibleFeatures: bits(old.incompatibleFeatures, changes.setIncompatible, changes.clearIncompatible),
    compatibleFeatures: bits(old.compatibleFeatures, changes.setCompatible, changes.clearCompatible),
    autoclearFeatures,
    backingFileName: changes.backing === undefined ? old.backingFileName : filename,
    size: changes.size ?? old.size,
    l1Size: changes.l1Table?.entries ?? old.l1Size,
    l1TableOffset: changes.l1Table?.offset ?? old.l1TableOffset,
    refcountTableOffset: changes.refcountTable?.offset ?? old.refcountTableOffset,
    refcountTableClusters: changes.refcountTable?.clusters ?? old.refcountTableClusters,
    snapshotCount: changes.snapshotTable?.count ?? old.snapshotCount,
    snapshotsOffset: changes.snapshotTable?.offset ?? old.snapshotsOffset,
    refcountOrder: changes.refcountOrder ?? old.refcountOrder,
    extensions,
  });
}

function withVersion(version: 2 | 3 | undefined, header: Qcow2Header): Qcow2Header {
  if (version === undefined || version === header.version) return header;
  const { featureNames, bitmaps, bitmapJournal } = extensionType;
  const since3: readonly number[] = [featureNames, bitmaps, bitmapJournal];
  const extensions = header.extensions.filter(({ type }) => !since3.includes(type));
  if (version === 3 && hasFeatureNames(header)) {
    extensions.push({ type: featureNames, data: featureNameTable() });
  }
  return {
    ...header,
    version,
    headerLength: version === 2 ? headerBytesV2 : headerBytesV3,
    incompatibleFeatures: 0n,
    compatibleFeatures: 0n,
    autoclearFeatures: 0n,
    compressionType: 'zlib',
    unknownFields: new Uint8Array(),
    extensions,
  };
}

/** UTF-8, without NUL and at most `maxBackingNameBytes`: EINVAL otherwise. */
export function encodeBackingName(filename: string | undefined): Uint8Array | undefined {
  if (filename === undefined || filename === '') return undefined;
  const bytes = new TextEncoder().encode(filename);
  if (bytes.length > maxBackingNameBytes || bytes.includes(0)) throw invalid('Backing file name too long');
  return bytes;
}

/** The format takes the place of the old one, or the first place, where QEMU puts it. */
function withBackingFormat(
  extensions: readonly HeaderExtension[],
  format: string | undefined,
): readonly HeaderExtension[] {
  const place = extensions.findIndex(({ type }) => type === extensionType.backingFormat);
  const others = extensions.filter(({ type }) => type !== extensionType.backingFormat);
  if (!format) return others;
  const record = { type: extensionType.backingFormat, data: new TextEncoder().encode(format) };
  return others.toSpliced(Math.max(place, 0), 0, record);
}

function withBitmaps(
  extensions: readonly HeaderExtension[],
  bitmaps: BitmapsExtension | null,
): readonly HeaderExtension[] {
  return withLast(extensions, extensionType.bitmaps, bitmaps && serializeBitmapsExtension(bitmaps));
}

/** The extension stays where it is, or comes last, where QEMU puts new ones. */
function withLast(
  extensions: readonly HeaderExtension[],
  type: number,
  data: Uint8Array | null,
): readonly HeaderExtension[] {
  const place = extensions.findIndex((extension) => extension.type === type);
  const others = extensions.filter((extension) => extension.type !== type);
  if (!data) return others;
  return others.toSpliced(place < 0 ? others.length : place, 0, { type, data });
}

function extensionBytes(header: Qcow2Header): number {
  return header.extensions.reduce((sum, { data }) => sum + 8 + roundUp(data.length, 8), 8);
}

/**
 * The new cluster 0 on top of the old one. An old backing name that is about to change keeps its bytes where there is
 * room beside it.
 */
function layOut(oldBytes: Uint8Array, old: Qcow2Header, target: Qcow2Header): Uint8Array {
  const end = target.headerLength + extensionBytes(target);
  const oldName = old.backingFileName;
  const name = target.backingFileName;
  const sameName = name !== undefined && oldName !== undefined && equal(name, oldName);
  let nameOffset = 0;
  if (sameName && old.backingFileOffset >= end) {
    nameOffset = old.backingFileOffset;
  } else if (name !== undefined) {
    const oldEnd = old.backingFileOffset + (oldName?.length ?? 0);
    const overlapsOld = oldName !== undefined && end < oldEnd && end + name.length > old.backingFileOffset;
    nameOffset = overlapsOld && oldEnd + name.length <= old.clusterSize ? oldEnd : end;
  }
  const serialized = serializeHeader({ ...target, backingFileOffset: nameOffset });
  const bytes = oldBytes.slice();
  bytes.set(serialized.subarray(0, end));
  if (name !== undefined) bytes.set(serialized.subarray(nameOffset), nameOffset);
  return bytes;
}

/**
 * Makes the header on disk independent of everything that is about to change behind sector 0. Where cluster 0 has no
 * room for that, the update goes on without: a crash in the middle of it may then spoil the name.
 */
async function bridge(
  file: ImageFile,
  change: { old: Qcow2Header; oldBytes: Uint8Array; newBytes: Uint8Array },
): Promise<void> {
  const { old, oldBytes, newBytes } = change;
  const name = old.backingFileName;
  let nameOffset = old.backingFileOffset;
  if (name !== undefined && !equal(newBytes.subarray(nameOffset, nameOffset + name.length), name)) {
    const copyOffset = Math.max(nameOffset + name.length, lastUsed(newBytes) + 1);
    if (copyOffset + name.length <= old.clusterSize) {
      const withCopy = oldBytes.slice();
      withCopy.set(name, copyOffset);
      newBytes.set(name, copyOffset);
      await writeSectors(file, changedSectors(oldBytes, withCopy), withCopy);
      await file.flush();
      nameOffset = copyOffset;
    }
  }
  const reachesFurther = old.headerLength + extensionBytes(old) > sectorBytes;
  if (!reachesFurther && nameOffset === old.backingFileOffset) return;
  const extensions = reachesFurther
    ? old.extensions.filter(({ type }) => type !== extensionType.featureNames)
    : old.extensions;
  const header = { ...old, extensions, backingFileOffset: nameOffset };
  const end = header.headerLength + extensionBytes(header);
  if (end > sectorBytes) return;
  const sector = oldBytes.slice(0, sectorBytes);
  const serialized = serializeHeader(header);
  // A short name may lie in sector 0 itself, behind the extensions: then it stays as it is.
  sector.set(serialized.subarray(0, end));
  await writeDurably(file, 0, sector);
}

function lastUsed(bytes: Uint8Array): number {
  return bytes.findLastIndex((byte) => byte !== 0);
}

async function writeSectors(file: ImageFile, sectors: readonly number[], bytes: Uint8Array): Promise<void> {
  for (const [first, count] of runs(sectors)) {
    await file.write(first * sectorBytes, bytes.slice(first * sectorBytes, (first + count) * sectorBytes));
  }
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

function changedSectors(before: Uint8Array, after: Uint8Array): number[] {
  const sectors: number[] = [];
  for (let at = 0; at < after.length; at += sectorBytes) {
    if (!equal(before.subarray(at, at + sectorBytes), after.subarray(at, at + sectorBytes))) {
      sectors.push(at / sectorBytes);
    }
  }
  return sectors;
}

/** Consecutive numbers as [first, count]. */
function runs(numbers: readonly number[]): [first: number, count: number][] {
  const result: [number, number][] = [];
  for (const number of numbers) {
    const last = result.at(-1);
    if (last !== undefined && last[0] + last[1] === number) last[1]++;
    else result.push([number, 1]);
  }
  return result;
}
