/**
 * The header of a sparse extent (specification: vmdk, section 2). 512 bytes, little-endian; offsets and sizes are in sectors.
 *
 *   0 `KDMV`                 28 descriptor: offset, 64 bit    56 grain directory, 64 bit
 *   4 version, 1 to 3        36 descriptor: size, 64 bit      64 overhead, 64 bit
 *   8 flags                  44 entries of a grain table      72 not shut down cleanly, 8 bit
 *  12 capacity, 64 bit       48 redundant grain directory,    73 `\n \r\n`: not touched by a transfer as text
 *  20 grain size, 64 bit        64 bit                        77 compression, 16 bit: 0 none, 1 deflate
 *
 * The older header of ESX hosts has everything in 32 bits, no second directory, and tables of 4096 entries:
 *
 *   0 `COWD`   4 version, 1   8 flags   12 capacity   16 grain size   20 grain directory   24 its entries   28 next free sector
 */
import { BlockError, invalid } from '../../../base/errors.ts';
import { roundUp, sectorBytes } from '../../../base/sectors.ts';
import { viewOf } from '../../../base/view-of.ts';
import { getU64, setU64 } from './fields.ts';

/** `KDMV`, as a number. */
export const sparseMagic = 0x564d444b;
/** `COWD`. */
export const cowdMagic = 0x44574f43;
export const headerBytes = sectorBytes;

const headerFlag = {
  newlineTest: 1,
  redundantDirectory: 2,
  /** Grain table entry 1: a grain of zeros. */
  zeroedGrain: 4,
  compressed: 0x1_0000,
  /** Compressed grains and metadata have markers in front of them. */
  markers: 0x2_0000,
} as const;

/** In place of the directory's offset: header and directory are at the end of the file. */
const directoryAtEnd = 0xffff_ffff_ffff_ffffn;

const maxVersion = 3;
const maxTableEntries = 512;
const cowdTableEntries = 4096;
/** What is read, written or decompressed as one. */
const maxGrainBytes = 16 << 20;
/** 128 TiB in grains and tables of the usual size. */
const maxDirectoryEntries = 1 << 22;

/** What an extent's header says of where things are. Bytes. */
export interface SparseLayout {
  readonly version: number;
  readonly diskBytes: number;
  readonly grainBytes: number;
  readonly tableEntries: number;
  readonly directoryEntries: number;
  readonly directoryOffset: number;
  /** Absent: there is one copy of the tables. */
  readonly redundantOffset: number | undefined;
  /** In front of the grains. */
  readonly overheadBytes: number;
  readonly descriptor: { readonly offset: number; readonly bytes: number } | undefined;
  readonly isCompressed: boolean;
  readonly hasZeroedGrains: boolean;
  /** Written by a program that does not say where what it appends is to go. */
  readonly isReadOnly: boolean;
}

/** Whether the header that counts is at the end of the file. */
export function isAtEnd(header: Uint8Array): boolean {
  return viewOf(header).getBigUint64(56, true) === directoryAtEnd;
}

/** `fileBytes`: of the file that it is the header of. Errors: EINVAL, ENOTSUP and EFBIG, what is wrong with it. */
export function parseSparseHeader(header: Uint8Array, fileBytes: number): SparseLayout {
  const view = viewOf(header);
  const version = view.getUint32(4, true);
  if (version > maxVersion) throw new BlockError('ENOTSUP', `Unsupported VMDK version ${version}`);
  const flags = view.getUint32(8, true);
  const has = (flag: number): boolean => (flags & flag) !== 0;
  const tableEntries = view.getUint32(44, true);
  if (tableEntries > maxTableEntries) throw invalid('L2 table size too big');
  const isCompressed = has(headerFlag.compressed);
  if (isCompressed) requireKnownCompression(view, has(headerFlag.markers));
  const descriptorBytes = getU64(view, 36) * sectorBytes;
  return checkLayout(
    {
      version,
      ...sizesOf({ sectors: getU64(view, 12), grainSectors: getU64(view, 20), tableEntries }),
      directoryOffset: getU64(view, 56) * sectorBytes,
      redundantOffset: has(headerFlag.redundantDirectory) ? getU64(view, 48) * sectorBytes : undefined,
      overheadBytes: getU64(view, 64) * sectorBytes,
      descriptor:
        descriptorBytes === 0
          ? undefined
          : { offset: getU64(view, 28) * sectorBytes, bytes: descriptorBytes },
      isCompressed,
      hasZeroedGrains: has(headerFlag.zeroedGrain),
      isReadOnly: false,
    },
    fileBytes,
  );
}

function requireKnownCompression(view: DataView, hasMarkers: boolean): void {
  const algorithm = view.getUint16(77, true);
  if (algorithm !== 1) throw new BlockError('ENOTSUP', `Unsupported VMDK compression ${algorithm}`);
  if (!hasMarkers) throw new BlockError('ENOTSUP', 'Compressed grains without markers are not supported');
}

/** Of an extent of an ESX host, which is only read. Errors: as those of the other. */
export function parseCowdHeader(header: Uint8Array, fileBytes: number): SparseLayout {
  const view = viewOf(header);
  const version = view.getUint32(4, true);
  if (version !== 1) throw new BlockError('ENOTSUP', `Unsupported VMDK version ${version}`);
  const directoryOffset = view.getUint32(20, true) * sectorBytes;
  return checkLayout(
    {
      version,
      ...sizesOf({
        sectors: view.getUint32(12, true),
        grainSectors: view.getUint32(16, true),
        tableEntries: cowdTableEntries,
      }),
      directoryOffset,
      redundantOffset: undefined,
      overheadBytes: directoryOffset,
      descriptor: undefined,
      isCompressed: false,
      hasZeroedGrains: false,
      isReadOnly: true,
    },
    fileBytes,
  );
}

interface Sizes {
  sectors: number;
  grainSectors: number;
  tableEntries: number;
}

function sizesOf({ sectors, grainSectors, tableEntries }: Sizes) {
  const grainBytes = grainSectors * sectorBytes;
  if (grainBytes === 0 || tableEntries === 0) throw invalid('L1 entry size is invalid');
  if (grainBytes > maxGrainBytes) throw new BlockError('EFBIG', `Grain size ${grainBytes} is too large`);
  const diskBytes = sectors * sectorBytes;
  const directoryEntries = Math.ceil(diskBytes / (grainBytes * tableEntries));
  if (directoryEntries > maxDirectoryEntries) throw new BlockError('EFBIG', 'L1 size too big');
  return { diskBytes, grainBytes, tableEntries, directoryEntries };
}

/** Memory that a file makes us take is in the file. */
function checkLayout(layout: SparseLayout, fileBytes: number): SparseLayout {
  const bytes = layout.directoryEntries * 4;
  const end = roundUp(fileBytes, sectorBytes);
  for (const offset of [layout.directoryOffset, layout.redundantOffset]) {
    if (offset !== undefined && offset + bytes > end)
      throw invalid(`Grain directory at ${offset} is not within the file`);
  }
  return layout;
}

/** What is to be written of a new extent, whose tables all have their place. */
export interface NewSparseExtent {
  /** In whole sectors. */
  diskBytes: number;
  isCompressed: boolean;
  hasZeroedGrains: boolean;
}

/** Sectors of a new extent. */
interface NewLayout {
  readonly tables: number;
  readonly redundantDirectory: number;
  readonly directory: number;
  readonly directorySectors: number;
  readonly overhead: number;
}

const newGrainSectors = 128;
/** The descriptor's room, behind the header. */
export const descriptorSectors = 20;
const tableSectors = (maxTableEntries * 4) / sectorBytes;
const newGrainBytes = newGrainSectors * sectorBytes;

/** Errors: EFBIG. */
export function layOut({ diskBytes }: Pick<NewSparseExtent, 'diskBytes'>): NewLayout {
  const tables = Math.ceil(diskBytes / (newGrainBytes * maxTableEntries));
  if (tables > maxDirectoryEntries) throw new BlockError('EFBIG', 'File too large');
  const directorySectors = Math.ceil((tables * 4) / sectorBytes);
  const redundantDirectory = 1 + descriptorSectors;
  const directory = redundantDirectory + directorySectors + tables * tableSectors;
  const overhead = roundUp(directory + directorySectors + tables * tableSectors, newGrainSectors);
  return { tables, redundantDirectory, directory, directorySectors, overhead };
}

export function serializeHeader(extent: NewSparseExtent, layout: NewLayout): Uint8Array {
  const header = new Uint8Array(headerBytes);
  const view = viewOf(header);
  const { isCompressed, hasZeroedGrains } = extent;
  view.setUint32(0, sparseMagic, true);
  view.setUint32(4, isCompressed ? 3 : hasZeroedGrains ? 2 : 1, true);
  view.setUint32(
    8,
    headerFlag.newlineTest |
      headerFlag.redundantDirectory |
      (isCompressed ? headerFlag.compressed | headerFlag.markers : 0) |
      (hasZeroedGrains ? headerFlag.zeroedGrain : 0),
    true,
  );
  setU64(view, 12, extent.diskBytes / sectorBytes);
  setU64(view, 20, newGrainSectors);
  setU64(view, 28, 1);
  setU64(view, 36, descriptorSectors);
  view.setUint32(44, maxTableEntries, true);
  setU64(view, 48, layout.redundantDirectory);
  setU64(view, 56, layout.directory);
  setU64(view, 64, layout.overhead);
  header.set([0x0a, 0x20, 0x0d, 0x0a], 73);
  view.setUint16(77, isCompressed ? 1 : 0, true);
  return header;
}

/** The directory at `sector`, whose tables are behind it. */
export function serializeDirectory({ tables, directorySectors }: NewLayout, sector: number): Uint8Array {
  const directory = new Uint8Array(directorySectors * sectorBytes);
  const view = viewOf(directory);
  for (let i = 0; i < tables; i++) view.setUint32(i * 4, sector + directorySectors + i * tableSectors, true);
  return directory;
}
