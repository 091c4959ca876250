/**
 * Header extensions (specification: qcow2, section 1.5): records of type, length and data after the fixed header.
 *
 * Every record is kept, in order and byte for byte, so that rewriting the header loses nothing that is not understood.
 * What the known types contain is checked here; what the bitmap directory and the LUKS header contain is not.
 */
import { BlockError, invalid } from '../../../base/errors.ts';
import { roundUp } from '../../../base/sectors.ts';
import { decodeCString, decodeText } from '../../../base/text.ts';
import { viewOf } from '../../../base/view-of.ts';
import { autoclear } from './feature-bits.ts';

export const extensionType = {
  end: 0,
  backingFormat: 0xe2792aca,
  featureNames: 0x6803f857,
  bitmaps: 0x23852875,
  encryption: 0x0537be77,
  dataFile: 0x44415441,
  /** Ours: live/journal-tie.ts. */
  bitmapJournal: 0x42594a4c,
} as const;

const known = new Set<number>(Object.values(extensionType));

/** Longest backing format name in bytes. */
const maxBackingFormatBytes = 15;
const bitmapsExtensionBytes = 24;
const encryptionExtensionBytes = 16;
const recordHeaderBytes = 8;

/** Limits of the bitmaps extension (specification: qcow2, section 6.1). */
export const maxBitmaps = 65535;
export const maxBitmapDirectoryBytes = 1024 * maxBitmaps;

export interface HeaderExtension {
  readonly type: number;
  readonly data: Uint8Array;
}

export interface BitmapsExtension {
  readonly bitmapCount: number;
  readonly directoryBytes: number;
  readonly directoryOffset: number;
}

interface EncryptionExtension {
  readonly offset: number;
  readonly bytes: number;
}

/** The bytes at hand end before the extensions do: read more and parse again. */
export class ShortRead extends Error {}

/** What the extensions of a header say. */
export interface ParsedExtensions {
  readonly extensions: readonly HeaderExtension[];
  readonly backingFormat: string | undefined;
  /** Undefined also where a program that does not know bitmaps has been at the image. */
  readonly bitmaps: BitmapsExtension | undefined;
  readonly encryption: EncryptionExtension | undefined;
  /** Also where the image does not use it. */
  readonly dataFile: string | undefined;
}

/** What else the header says. */
interface DescribedImage {
  readonly clusterSize: number;
  readonly cryptMethod: number;
  readonly autoclearFeatures: bigint;
}

type Found = { -readonly [K in keyof ParsedExtensions]: ParsedExtensions[K] } & {
  extensions: HeaderExtension[];
};

const nothing = { backingFormat: undefined, bitmaps: undefined, encryption: undefined, dataFile: undefined };

/**
 * The records between `start` and `end` (offsets in the file; `bytes` is its beginning), up to the end marker. EINVAL when a
 * record reaches beyond `end`, a known type comes twice, or what it says is wrong: of several things the first.
 */
export function parseExtensions(
  bytes: Uint8Array,
  start: number,
  end: number,
  image: DescribedImage,
): ParsedExtensions {
  const found: Found = { ...nothing, extensions: [] };
  readRecords(bytes, { start, end }, image, found);
  const types = found.extensions.map(({ type }) => type).filter((type) => known.has(type));
  const duplicate = types.find((type, index) => types.indexOf(type) < index);
  if (duplicate !== undefined) throw invalid(`Duplicate header extension 0x${duplicate.toString(16)}`);
  return found;
}

/** Whether there are bitmaps that a program which does not know them has left behind, and so nobody may use. */
export function hasStaleBitmaps({
  extensions,
  autoclearFeatures,
}: Pick<ParsedExtensions, 'extensions'> & Pick<DescribedImage, 'autoclearFeatures'>): boolean {
  return (
    (autoclearFeatures & autoclear.bitmaps) === 0n &&
    findExtension(extensions, extensionType.bitmaps) !== undefined
  );
}

/** The last table of the names of features in front of anything that is wrong. */
export function findFeatureNames(
  bytes: Uint8Array,
  start: number,
  end: number,
  image: DescribedImage,
): Uint8Array | undefined {
  const found: Found = { ...nothing, extensions: [] };
  try {
    readRecords(bytes, { start, end }, image, found);
  } catch (error) {
    // The features are what is told.
    if (!(error instanceof BlockError)) throw error;
  }
  return found.extensions.findLast(({ type }) => type === extensionType.featureNames)?.data;
}

function readRecords(
  bytes: Uint8Array,
  { start, end }: { start: number; end: number },
  image: DescribedImage,
  found: Found,
): void {
  const view = viewOf(bytes);
  let offset = start;
  while (offset < end) {
    if (offset + recordHeaderBytes > end) throw invalid('Header extension too large');
    if (offset + recordHeaderBytes > bytes.length) throw new ShortRead();
    const type = view.getUint32(offset);
    const length = view.getUint32(offset + 4);
    offset += recordHeaderBytes;
    if (length > end - offset) throw invalid('Header extension too large');
    if (type === extensionType.end) return;
    if (offset + length > bytes.length) throw new ShortRead();
    const extension = { type, data: bytes.slice(offset, offset + length) };
    readExtension(extension, image, found);
    found.extensions.push(extension);
    offset += roundUp(length, 8);
  }
}

function readExtension({ type, data }: HeaderExtension, image: DescribedImage, found: Found): void {
  const { clusterSize, cryptMethod, autoclearFeatures } = image;
  switch (type) {
    case extensionType.backingFormat:
      // A zero-length name says nothing, as no extension does.
      found.backingFormat = parseBackingFormat(data) || undefined;
      break;
    case extensionType.bitmaps:
      found.bitmaps = parseBitmapsExtension(
        data,
        clusterSize,
        (autoclearFeatures & autoclear.bitmaps) === 0n,
      );
      break;
    case extensionType.encryption:
      found.encryption = parseEncryptionExtension(data, cryptMethod, clusterSize);
      break;
    case extensionType.dataFile:
      found.dataFile = decodeCString(data);
      break;
  }
}

export function findExtension(extensions: readonly HeaderExtension[], type: number): Uint8Array | undefined {
  return extensions.find((extension) => extension.type === type)?.data;
}

/** All records and the end marker. */
export function serializeExtensions(extensions: readonly HeaderExtension[]): Uint8Array {
  let length = recordHeaderBytes;
  for (const { data } of extensions) length += recordHeaderBytes + roundUp(data.length, 8);
  const bytes = new Uint8Array(length);
  const view = viewOf(bytes);
  let offset = 0;
  for (const { type, data } of extensions) {
    view.setUint32(offset, type);
    view.setUint32(offset + 4, data.length);
    bytes.set(data, offset + recordHeaderBytes);
    offset += recordHeaderBytes + roundUp(data.length, 8);
  }
  return bytes;
}

/** Names are arbitrary bytes without NUL; what is not UTF-8 shows as replacement characters. */
export function decodeName(bytes: Uint8Array, what: string): string {
  if (bytes.includes(0)) throw invalid(`${what} contains a NUL byte`);
  return decodeText(bytes);
}

function parseBackingFormat(data: Uint8Array): string {
  if (data.length > maxBackingFormatBytes) {
    throw invalid(`ERROR: ext_backing_format: len=${data.length} too large (>=${maxBackingFormatBytes + 1})`);
  }
  return decodeName(data, 'Backing format name');
}

/** Undefined when it is stale. */
function parseBitmapsExtension(
  data: Uint8Array,
  clusterSize: number,
  isStale: boolean,
): BitmapsExtension | undefined {
  if (data.length !== bitmapsExtensionBytes) throw invalid('bitmaps_ext: Invalid extension length');
  if (isStale) return undefined;
  const view = viewOf(data);
  const bitmapCount = view.getUint32(0);
  const directoryBytes = view.getBigUint64(8);
  const directoryOffset = view.getBigUint64(16);
  if (view.getUint32(4) !== 0) throw invalid('bitmaps_ext: Reserved field is not zero');
  if (bitmapCount > maxBitmaps) {
    throw invalid(
      `bitmaps_ext: Image has ${bitmapCount} bitmaps, exceeding the QEMU supported maximum of ${maxBitmaps}`,
    );
  }
  if (bitmapCount === 0) throw invalid('found bitmaps extension with zero bitmaps');
  if (directoryOffset % BigInt(clusterSize) !== 0n) {
    throw invalid('bitmaps_ext: invalid bitmap directory offset');
  }
  if (directoryBytes > BigInt(maxBitmapDirectoryBytes)) {
    throw invalid(
      `bitmaps_ext: bitmap directory size (${directoryBytes}) exceeds the maximum supported size (${maxBitmapDirectoryBytes})`,
    );
  }
  if (directoryOffset > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new BlockError('EFBIG', 'bitmaps_ext: invalid bitmap directory offset');
  }
  return {
    bitmapCount,
    directoryBytes: Number(directoryBytes),
    directoryOffset: Number(directoryOffset),
  };
}

export function serializeBitmapsExtension(extension: BitmapsExtension): Uint8Array {
  const data = new Uint8Array(bitmapsExtensionBytes);
  const view = viewOf(data);
  view.setUint32(0, extension.bitmapCount);
  view.setBigUint64(8, BigInt(extension.directoryBytes));
  view.setBigUint64(16, BigInt(extension.directoryOffset));
  return data;
}

export function serializeEncryptionExtension({ offset, bytes }: EncryptionExtension): Uint8Array {
  const data = new Uint8Array(encryptionExtensionBytes);
  viewOf(data).setBigUint64(0, BigInt(offset));
  viewOf(data).setBigUint64(8, BigInt(bytes));
  return data;
}

function parseEncryptionExtension(
  data: Uint8Array,
  cryptMethod: number,
  clusterSize: number,
): EncryptionExtension {
  if (cryptMethod !== 2) throw invalid('CRYPTO header extension only expected with LUKS encryption method');
  if (data.length !== encryptionExtensionBytes) {
    throw invalid(
      `CRYPTO header extension size ${data.length}, but expected size ${encryptionExtensionBytes}`,
    );
  }
  const offset = viewOf(data).getBigUint64(0);
  const bytes = viewOf(data).getBigUint64(8);
  if (offset % BigInt(clusterSize) !== 0n) {
    throw invalid(`Encryption header offset '${offset}' is not a multiple of cluster size '${clusterSize}'`);
  }
  if (offset + bytes > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new BlockError('EFBIG', `Encryption header offset '${offset}' is too large`);
  }
  return { offset: Number(offset), bytes: Number(bytes) };
}
