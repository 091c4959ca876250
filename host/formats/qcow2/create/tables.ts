/**
 * The tables of a new image, made and written (specification: qcow2, sections 1.8, 2.2 and 11.1).
 *
 * Where the disk is mapped, all of it is, in order, to one contiguous area. Tables come in pieces of a fixed size.
 */
import { asBlockError } from '../../../base/errors.ts';
import { viewOf } from '../../../base/view-of.ts';
import type { Preallocation } from '../../../block/driver.ts';
import { copiedFlag, zeroFlag } from '../disk/entry.ts';
import { refcountBlockEntries } from '../disk/header.ts';
import type { NewImageFile } from '../disk/image-file.ts';
import type { ImageLayout } from './layout.ts';

/** Bytes of table that are made at once; at least one cluster of the largest size. */
const pieceBytes = 2 * 1024 * 1024;

/** A part of the file. */
interface Piece {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** Makes the file as long as it will be and writes everything but the header; flushes nothing. */
export async function writeTables(
  file: NewImageFile,
  layout: ImageLayout,
  preallocation: Preallocation,
): Promise<void> {
  // Reserving space does not help what is about to be written anyway.
  if (preallocation === 'falloc' || preallocation === 'full') {
    await file.truncate(layout.dataOffset);
    try {
      await file.truncate(fileBytes(layout), { preallocation });
    } catch (error) {
      throw asBlockError(error).within('Could not resize image: Failed to resize underlying file');
    }
  } else {
    await file.truncate(fileBytes(layout));
  }
  const write = async (pieces: Iterable<Piece>): Promise<void> => {
    for (const { offset, bytes } of pieces) await file.write(offset, bytes);
  };
  await write(refcountPieces(layout));
  // Also where it leads to nothing yet: with its place on the disk, no later entry finds the disk full.
  await write(mappingPieces(layout));
}

/** Like QEMU, an image without data ends with the last entry of its L1 table. */
function fileBytes(layout: ImageLayout): number {
  const { clusterSize } = layout;
  if (layout.dataClusters > 0 || layout.encryptionOffset > 0) return layout.totalClusters * clusterSize;
  return layout.refcountBlockOffset + layout.refcountBlocks * clusterSize + layout.l1Entries * 8;
}

/** The refcount table and its blocks, in the order of the file and without gaps. */
export function* refcountPieces(layout: ImageLayout): Generator<Piece, void> {
  const { clusterSize, refcountTableClusters, refcountBlocks, refcountBlockOffset, totalClusters } = layout;
  yield* offsetPieces({
    at: layout.refcountTableOffset,
    entries: (refcountTableClusters * clusterSize) / 8,
    used: refcountBlocks,
    first: refcountBlockOffset,
    flags: 0n,
    clusterSize,
  });
  const bits = 2 ** layout.refcountOrder;
  const countsPerPiece = (pieceBytes * 8) / bits;
  const all = refcountBlocks * refcountBlockEntries(layout);
  for (let first = 0; first < all; first += countsPerPiece) {
    const count = Math.min(countsPerPiece, all - first);
    const bytes = new Uint8Array((count * bits) / 8);
    fillOnes(bytes, bits, Math.min(count, totalClusters - first));
    yield { offset: refcountBlockOffset + (first * bits) / 8, bytes };
  }
}

/** L1 and L2 tables of a disk that is mapped from its beginning, in order. */
function* mappingPieces(layout: ImageLayout): Generator<Piece, void> {
  const { clusterSize } = layout;
  yield* offsetPieces({
    at: layout.l1TableOffset,
    entries: layout.l1Entries,
    used: layout.l2Tables,
    first: layout.l2TableOffset,
    flags: copiedFlag,
    clusterSize,
  });
  yield* offsetPieces({
    at: layout.l2TableOffset,
    entries: (layout.l2Tables * clusterSize) / 8,
    used: layout.dataClusters,
    first: layout.dataOffset,
    // What is mapped and not written is zeros, which encrypted would be chance.
    flags: layout.encryptionOffset > 0 ? copiedFlag | zeroFlag : copiedFlag,
    clusterSize,
  });
}

/** A table of `entries` u64, the first `used` of which are the offsets of consecutive clusters, with the same flags. */
interface OffsetTable {
  at: number;
  entries: number;
  used: number;
  first: number;
  /** Bits that no offset has. */
  flags: bigint;
  clusterSize: number;
}

function* offsetPieces(table: OffsetTable): Generator<Piece, void> {
  const entriesPerPiece = pieceBytes / 8;
  const high = Number(table.flags >> 32n);
  const low = Number(table.flags & 0xffff_ffffn);
  for (let index = 0; index < table.entries; index += entriesPerPiece) {
    const count = Math.min(entriesPerPiece, table.entries - index);
    const bytes = new Uint8Array(count * 8);
    const view = viewOf(bytes);
    for (let entry = 0; entry < count && index + entry < table.used; entry++) {
      const offset = table.first + (index + entry) * table.clusterSize;
      view.setUint32(entry * 8, high + Math.floor(offset / 2 ** 32));
      view.setUint32(entry * 8 + 4, (offset % 2 ** 32) + low);
    }
    yield { offset: table.at + index * 8, bytes };
  }
}

/** The first `count` entries of `bits` each become 1. */
function fillOnes(bytes: Uint8Array, bits: number, count: number): void {
  if (bits >= 8) {
    const width = bits / 8;
    for (let index = 0; index < count; index++) bytes[index * width + width - 1] = 1;
    return;
  }
  const perByte = 8 / bits;
  const whole = Math.floor(count / perByte);
  const pattern = bits === 1 ? 0xff : bits === 2 ? 0x55 : 0x11;
  bytes.fill(pattern, 0, whole);
  const rest = count - whole * perByte;
  if (rest > 0) bytes[whole] = pattern & (2 ** (rest * bits) - 1);
}
