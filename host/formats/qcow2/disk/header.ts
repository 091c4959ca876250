/**
 * The qcow2 header: parsing, validation and serialization (specification: qcow2, sections 1.1 to 1.6).
 *
 *   0 magic        4 version      8 backing file offset   16 backing file size   20 cluster bits   24 virtual size
 *  32 crypt method 36 L1 size    40 L1 offset             48 refcount table offset                 56 its clusters
 *  60 snapshots    64 snapshots offset       72, 80, 88 incompatible, compatible, autoclear features
 *  96 refcount order  100 header length  104 compression type  105 padding  112 unknown fields  then the extensions
 *
 * `parseHeader` accepts what QEMU accepts and fails with its words, in its order, so that the same error wins. It
 * is stricter only where QEMU misparses or where the image could not be written safely: header length not a multiple
 * of 8, duplicate extensions, NUL in names, backing name inside the header. Nothing is allocated from a number in the
 * image except cluster 0, at most 2 MiB. Header values are immutable; header-update.ts changes what is on disk.
 */
import { BlockError, invalid } from '../../../base/errors.ts';
import { roundUp } from '../../../base/sectors.ts';
import { viewOf } from '../../../base/view-of.ts';
import {
  decodeName,
  findFeatureNames,
  type ParsedExtensions,
  parseExtensions,
  ShortRead,
  serializeExtensions,
} from './extensions.ts';
import { autoclear, describeUnknownIncompatible, incompatible, knownIncompatible } from './feature-bits.ts';
import type { ReadableImageFile } from './image-file.ts';

export const magic = 0x514649fb;
export const headerBytesV2 = 72;
export const headerBytesV3 = 112;
const minHeaderBytesV3 = 104;

export const minClusterBits = 9;
export const maxClusterBits = 21;
const maxRefcountOrder = 6;
/** Values of the field `crypt_method`. */
export const CryptMethod = { none: 0, aes: 1, luks: 2 } as const;
const minSubclusterBytes = 512;

export const maxL1Entries = 4 * 1024 * 1024;
export const maxRefcountTableBytes = 8 * 1024 * 1024;
export const maxSnapshots = 65536;
export const maxBackingNameBytes = 1023;
const maxImageBytes = (1n << 63n) - (1n << 30n);
const maxSigned64 = (1n << 63n) - 1n;
const maxIndex = 2n ** 31n - 1n;
const maxSafe = BigInt(Number.MAX_SAFE_INTEGER);

/** What one read at open fetches: the header of nearly every image, extensions and backing name included. */
const firstReadBytes = 4096;

export type CompressionType = 'zlib' | 'zstd';
const compressionTypes: readonly CompressionType[] = ['zlib', 'zstd'];

/** All offsets and sizes in bytes. */
export interface Qcow2Header extends ParsedExtensions {
  readonly version: 2 | 3;
  readonly clusterBits: number;
  readonly clusterSize: number;
  /** Virtual size, a multiple of 512. */
  readonly size: number;
  /** One of `CryptMethod`. */
  readonly cryptMethod: number;
  readonly l1Size: number;
  readonly l1TableOffset: number;
  readonly refcountTableOffset: number;
  readonly refcountTableClusters: number;
  readonly snapshotCount: number;
  readonly snapshotsOffset: number;
  readonly incompatibleFeatures: bigint;
  readonly compatibleFeatures: bigint;
  readonly autoclearFeatures: bigint;
  /** Refcount width is `1 << refcountOrder` bits. */
  readonly refcountOrder: number;
  readonly compressionType: CompressionType;
  /** Length of the fixed part; extensions start here. */
  readonly headerLength: number;
  /** Bytes 112 to headerLength, rewritten as they are. */
  readonly unknownFields: Uint8Array;
  /** Undefined when the image has no backing file. Bytes as in the file. */
  readonly backingFileName: Uint8Array | undefined;
  readonly backingFileOffset: number;
  readonly backingFile: string | undefined;
}

export interface ParseFlags {
  readOnly: boolean;
  /** Checking or repairing: a corrupt image may be opened, and tables may be missing. */
  check: boolean;
  /** Only metadata is asked for: what data access alone needs is not insisted on. */
  noIo: boolean;
}

/** 64 for L2 entries of 8 bytes in clusters of 512, and so on (section 2.3). */
export function l2Entries(header: Qcow2Header): number {
  return header.clusterSize / (hasExtendedL2(header) ? 16 : 8);
}

/** Bytes of the disk that one L1 entry is for. */
function l1EntryCoverage(header: Qcow2Header): number {
  return header.clusterSize * l2Entries(header);
}

/** How many L1 entries `bytes` from the start of a disk take. */
export function l1EntriesFor(header: Qcow2Header, bytes: number): number {
  return Math.ceil(bytes / l1EntryCoverage(header));
}

/** Where VM state starts: at the first L1 entry that a disk of `size` bytes does not use. */
export function vmStateStart(header: Qcow2Header, size: number): number {
  return roundUp(size, l1EntryCoverage(header));
}

export function hasExtendedL2(header: Qcow2Header): boolean {
  return (header.incompatibleFeatures & incompatible.extendedL2) !== 0n;
}

/** Entries of one refcount block. */
export function refcountBlockEntries({
  clusterSize,
  refcountOrder,
}: Pick<Qcow2Header, 'clusterSize' | 'refcountOrder'>): number {
  return (clusterSize * 8) / 2 ** refcountOrder;
}

/** Reads and validates the header of an image. Errors as in section 1.2; I/O errors of the file pass through. */
export async function readHeader(file: ReadableImageFile, flags: ParseFlags): Promise<Qcow2Header> {
  let bytes: Uint8Array<ArrayBuffer> = new Uint8Array(firstReadBytes);
  await file.read(0, bytes);
  try {
    return parseHeader(bytes, flags);
  } catch (error) {
    if (!(error instanceof ShortRead)) throw error;
  }
  // The version and the cluster size were valid, or parsing would not have come this far.
  bytes = new Uint8Array(2 ** viewOf(bytes).getUint32(20));
  await file.read(0, bytes);
  return parseHeader(bytes, flags);
}

/**
 * Parses the first bytes of an image; throws ShortRead when they do not reach to the end of the header. Of several things
 * that are wrong the first is told, in the order of section 1.2.
 */
export function parseHeader(bytes: Uint8Array, flags: ParseFlags): Qcow2Header {
  const view = viewOf(bytes);
  const fields = parseFixedFields(view);
  const { clusterSize, headerLength, autoclearFeatures, backingFileOffset } = fields;
  const extensionsEnd = backingFileOffset === 0 ? clusterSize : backingFileOffset;
  const compressionType = parseCompressionType(view, headerLength, fields.incompatibleFeatures);
  const cryptMethod = view.getUint32(32);
  const described = { ...fields, cryptMethod };
  checkFeatures(fields, flags, () => findFeatureNames(bytes, headerLength, extensionsEnd, described));
  const refcountOrder = fields.version === 2 ? 4 : view.getUint32(96);
  if (refcountOrder > maxRefcountOrder) {
    throw invalid('Reference count entry width too large; may not exceed 64 bits');
  }
  const tables = parseTables(view, fields, flags);
  if (cryptMethod > CryptMethod.luks) throw invalid(`Unsupported encryption method ${cryptMethod}`);
  const extensions = parseExtensions(bytes, headerLength, extensionsEnd, described);
  if (!flags.noIo) checkExtensions(extensions, described);
  const backingFileName = parseBackingName(bytes, backingFileOffset, view.getUint32(16), fields);
  if (!flags.noIo && backingFileName !== undefined && (autoclearFeatures & autoclear.dataFileRaw) !== 0n) {
    throw invalid('Backing file and data-file-raw cannot be used at the same time');
  }
  return {
    ...fields,
    ...tables,
    cryptMethod,
    refcountOrder,
    compressionType,
    unknownFields: bytes.slice(headerBytesV3, Math.max(headerBytesV3, headerLength)),
    ...extensions,
    backingFileName,
    backingFile: backingFileName && decodeName(backingFileName, 'Backing file name'),
  };
}

type FixedFields = Pick<
  Qcow2Header,
  | 'version'
  | 'clusterBits'
  | 'clusterSize'
  | 'headerLength'
  | 'incompatibleFeatures'
  | 'compatibleFeatures'
  | 'autoclearFeatures'
  | 'backingFileOffset'
>;

/** What everything else depends on. */
function parseFixedFields(view: DataView): FixedFields {
  if (view.getUint32(0) !== magic) throw invalid('Image is not in qcow2 format');
  const version = view.getUint32(4);
  if (version !== 2 && version !== 3) throw unsupported(`Unsupported qcow2 version ${version}`);
  const clusterBits = view.getUint32(20);
  if (clusterBits < minClusterBits || clusterBits > maxClusterBits) {
    throw invalid(`Unsupported cluster size: 2^${clusterBits}`);
  }
  const clusterSize = 2 ** clusterBits;
  const headerLength = version === 2 ? headerBytesV2 : parseHeaderLength(view, clusterSize);
  const features = (offset: number): bigint => (version === 2 ? 0n : view.getBigUint64(offset));
  const backingOffset = view.getBigUint64(8);
  if (backingOffset > BigInt(clusterSize)) throw invalid('Invalid backing file offset');
  return {
    version,
    clusterBits,
    clusterSize,
    headerLength,
    incompatibleFeatures: features(72),
    compatibleFeatures: features(80),
    autoclearFeatures: features(88),
    backingFileOffset: Number(backingOffset),
  };
}

/** `featureNames`: the extension that names features that we may not know. */
function checkFeatures(
  { incompatibleFeatures, clusterSize }: FixedFields,
  flags: ParseFlags,
  featureNames: () => Uint8Array | undefined,
): void {
  const unknown = incompatibleFeatures & ~knownIncompatible;
  if (unknown !== 0n) {
    const names = describeUnknownIncompatible(unknown, featureNames());
    throw unsupported(`Unsupported qcow2 feature(s): ${names}`);
  }
  if ((incompatibleFeatures & incompatible.corrupt) !== 0n && !flags.readOnly && !flags.check) {
    throw new BlockError('EACCES', 'qcow2: Image is corrupt; cannot be opened read/write');
  }
  const extendedL2 = (incompatibleFeatures & incompatible.extendedL2) !== 0n;
  if (extendedL2 && clusterSize / 32 < minSubclusterBytes) {
    throw invalid(`Unsupported subcluster size: ${clusterSize / 32}`);
  }
}

type TableFields = Pick<
  Qcow2Header,
  | 'size'
  | 'l1Size'
  | 'l1TableOffset'
  | 'refcountTableOffset'
  | 'refcountTableClusters'
  | 'snapshotCount'
  | 'snapshotsOffset'
>;

/** Where the tables are, and that they fit into their limits. */
function parseTables(
  view: DataView,
  { clusterSize, incompatibleFeatures }: FixedFields,
  flags: ParseFlags,
): TableFields {
  const refcountTableClusters = view.getUint32(56);
  if (refcountTableClusters === 0 && !flags.check) {
    throw invalid('Image does not contain a reference count table');
  }
  if (refcountTableClusters > maxRefcountTableBytes / clusterSize) {
    throw new BlockError('EFBIG', 'Reference count table too large');
  }
  const refcountTableOffset = tableOffset(view.getBigUint64(48), refcountTableClusters * clusterSize, {
    clusterSize,
    message: 'Reference count table offset invalid',
  });
  const snapshotCount = view.getUint32(60);
  const snapshots = view.getBigUint64(64);
  // In check mode a bad snapshot table is a finding, not a reason to refuse the image.
  if (!flags.check) validateSnapshotPointer(snapshotCount, snapshots, clusterSize);
  const l1Size = view.getUint32(36);
  if (l1Size > maxL1Entries) throw new BlockError('EFBIG', 'Active L1 table too large');
  const l1TableOffset = tableOffset(view.getBigUint64(40), l1Size * 8, {
    clusterSize,
    message: 'Active L1 table offset invalid',
  });
  const entryBytes = (incompatibleFeatures & incompatible.extendedL2) !== 0n ? 16 : 8;
  return {
    size: parseSize(view.getBigUint64(24), l1Size, clusterSize / entryBytes, clusterSize),
    l1Size,
    l1TableOffset,
    refcountTableOffset,
    refcountTableClusters,
    snapshotCount,
    snapshotsOffset: Number(snapshots),
  };
}

/** What is needed to read data must be there. */
function checkExtensions(
  { encryption, dataFile }: ParsedExtensions,
  fields: Pick<Qcow2Header, 'cryptMethod' | 'incompatibleFeatures' | 'autoclearFeatures'>,
): void {
  const usesDataFile = (fields.incompatibleFeatures & incompatible.dataFile) !== 0n;
  if (usesDataFile && !dataFile) throw invalid("'data-file' is required for this image");
  if (!usesDataFile && (fields.autoclearFeatures & autoclear.dataFileRaw) !== 0n) {
    throw invalid('data-file-raw requires a data file');
  }
  if (fields.cryptMethod === CryptMethod.luks && encryption === undefined)
    throw invalid('Missing CRYPTO header for crypt method 2');
}

/** Checks the pointer to the snapshot table, for those who put off doing so (check mode). EFBIG or EINVAL. */
export function validateSnapshotPointer(count: number, offset: bigint | number, clusterSize: number): void {
  if (count > maxSnapshots) throw new BlockError('EFBIG', 'Snapshot table too large');
  tableOffset(BigInt(offset), count * 40, { clusterSize, message: 'Snapshot table offset invalid' });
}

/**
 * Refuses what can be looked at but not read or written here. ENOTSUP. To be called before anything but the header is
 * used.
 */
export function requireStandardImage(header: Qcow2Header): void {
  if ((header.incompatibleFeatures & incompatible.dataFile) !== 0n) {
    throw unsupported('qcow2 images with an external data file are not supported');
  }
  if (hasExtendedL2(header)) throw unsupported('qcow2 images with extended L2 entries are not supported');
}

/**
 * Before the first write: no two structures that the header points to may share a cluster, and none may lie in the
 * header's. EINVAL. (QEMU finds out when its first write trips over it and then marks the image corrupt.)
 */
export function validateLayout(header: Qcow2Header, snapshotTableBytes: number): void {
  const regions: { name: string; offset: number; bytes: number }[] = [
    { name: 'header', offset: 0, bytes: header.clusterSize },
    { name: 'active L1 table', offset: header.l1TableOffset, bytes: header.l1Size * 8 },
    {
      name: 'refcount table',
      offset: header.refcountTableOffset,
      bytes: header.refcountTableClusters * header.clusterSize,
    },
    {
      name: 'snapshot table',
      offset: header.snapshotsOffset,
      bytes: header.snapshotCount === 0 ? 0 : snapshotTableBytes,
    },
    { name: 'LUKS header', offset: header.encryption?.offset ?? 0, bytes: header.encryption?.bytes ?? 0 },
  ];
  if (header.bitmaps !== undefined) {
    const { directoryOffset: offset, directoryBytes: bytes } = header.bitmaps;
    regions.push({ name: 'bitmap directory', offset, bytes });
  }
  const used = regions.filter(({ bytes }) => bytes > 0).sort((a, b) => a.offset - b.offset);
  for (const [index, region] of used.entries()) {
    const next = used[index + 1];
    if (next === undefined) break;
    // Offsets are cluster aligned, so sharing a cluster is sharing a byte.
    if (next.offset < region.offset + region.bytes) {
      throw invalid(`Image is corrupt: ${next.name} overlaps with ${region.name}`);
    }
  }
}

/**
 * The header as it is written, from byte 0 to the end of the backing file name, which lies at `backingFileOffset` when
 * that is set and fits, else right behind the extensions. ENOSPC when it does not fit in cluster 0.
 */
export function serializeHeader(header: Omit<Qcow2Header, DerivedFields>): Uint8Array {
  const extensions = serializeExtensions(header.extensions);
  const extensionsEnd = header.headerLength + extensions.length;
  const name = header.backingFileName ?? new Uint8Array();
  const nameOffset = Math.max(extensionsEnd, header.backingFileOffset);
  const length = name.length === 0 ? extensionsEnd : nameOffset + name.length;
  if (length > header.clusterSize) throw new BlockError('ENOSPC');
  const bytes = new Uint8Array(length);
  const view = viewOf(bytes);
  view.setUint32(0, magic);
  view.setUint32(4, header.version);
  view.setBigUint64(8, name.length === 0 ? 0n : BigInt(nameOffset));
  view.setUint32(16, name.length);
  view.setUint32(20, header.clusterBits);
  view.setBigUint64(24, BigInt(header.size));
  view.setUint32(32, header.cryptMethod);
  view.setUint32(36, header.l1Size);
  view.setBigUint64(40, BigInt(header.l1TableOffset));
  view.setBigUint64(48, BigInt(header.refcountTableOffset));
  view.setUint32(56, header.refcountTableClusters);
  view.setUint32(60, header.snapshotCount);
  view.setBigUint64(64, BigInt(header.snapshotsOffset));
  if (header.version === 3) {
    view.setBigUint64(72, header.incompatibleFeatures);
    view.setBigUint64(80, header.compatibleFeatures);
    view.setBigUint64(88, header.autoclearFeatures);
    view.setUint32(96, header.refcountOrder);
    view.setUint32(100, header.headerLength);
    if (header.headerLength > minHeaderBytesV3) {
      view.setUint8(104, compressionTypes.indexOf(header.compressionType));
    }
    bytes.set(header.unknownFields, headerBytesV3);
  }
  bytes.set(extensions, header.headerLength);
  if (name.length > 0) bytes.set(name, nameOffset);
  return bytes;
}

/** What `parseHeader` derives from the rest, and serialization therefore does not need. */
type DerivedFields = 'backingFile' | 'backingFormat' | 'bitmaps' | 'encryption' | 'dataFile';

function unsupported(message: string): BlockError {
  return new BlockError('ENOTSUP', message);
}

function parseHeaderLength(view: DataView, clusterSize: number): number {
  const headerLength = view.getUint32(100);
  if (headerLength < minHeaderBytesV3) throw invalid('qcow2 header too short');
  if (headerLength > clusterSize) throw invalid('qcow2 header exceeds cluster size');
  if (headerLength % 8 !== 0) throw invalid('qcow2 header length is not a multiple of 8');
  // A longer header is rewritten as a whole, so all of it must be at hand.
  if (headerLength > view.byteLength) throw new ShortRead();
  return headerLength;
}

function parseCompressionType(view: DataView, headerLength: number, features: bigint): CompressionType {
  const value = headerLength > minHeaderBytesV3 ? view.getUint8(104) : 0;
  const type = compressionTypes[value];
  if (type === undefined) throw unsupported(`qcow2: unknown compression type: ${value}`);
  const marked = (features & incompatible.compressionType) !== 0n;
  if (marked !== (value !== 0)) {
    throw invalid(`qcow2: Compression type incompatible feature bit must ${marked ? 'not ' : ''}be set`);
  }
  return type;
}

function tableOffset(offset: bigint, bytes: number, place: { clusterSize: number; message: string }): number {
  if (offset % BigInt(place.clusterSize) !== 0n || offset + BigInt(bytes) > maxSigned64) {
    throw invalid(place.message);
  }
  // Of nothing it does not matter where it is.
  if (bytes > 0 && offset + BigInt(bytes) > maxSafe) throw new BlockError('EFBIG', place.message);
  return Number(offset);
}

function parseSize(size: bigint, l1Size: number, entriesPerL2: number, clusterSize: number): number {
  const bytesPerL1Entry = BigInt(clusterSize * entriesPerL2);
  const needed = (size + bytesPerL1Entry - 1n) / bytesPerL1Entry;
  if (size > maxImageBytes || needed > maxIndex) throw new BlockError('EFBIG', 'Image is too big');
  if (BigInt(l1Size) < needed) throw invalid('L1 table is too small');
  if (size > maxSafe) throw new BlockError('EFBIG', 'Image is too big');
  return Number(size - (size % 512n));
}

function parseBackingName(
  bytes: Uint8Array,
  offset: number,
  length: number,
  place: { clusterSize: number; headerLength: number },
): Uint8Array | undefined {
  if (offset === 0) return undefined;
  if (length > Math.min(maxBackingNameBytes, place.clusterSize - offset)) {
    throw invalid('Backing file name too long');
  }
  if (length === 0) return undefined;
  if (offset < place.headerLength) throw invalid('Invalid backing file offset');
  if (offset + length > bytes.length) throw new ShortRead();
  return bytes.slice(offset, offset + length);
}
