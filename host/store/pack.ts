/**
 * Packs: blobs one after the other, and a sealed table of them at the end (specification: store, section 5).
 *
 *   blob … | sealed table | length of the sealed table 4
 *   entry: type 1 | sealed length 4 | [plain length 4, when compressed] | id 32
 *
 * Where a blob is follows from the lengths of those before it. Numbers are little-endian.
 */
import { BlockError } from '../base/errors.ts';
import { idBytes } from './ids.ts';
import { maxDataBytes, maxPackHeaderBytes, maxTreeBytes } from './limits.ts';
import { type Primitives, type SealingKeys, sealingBytes, unseal } from './sealing.ts';

export type BlobKind = 'data' | 'tree';

/** Where a blob is in its pack. */
export interface PackedBlob {
  readonly kind: BlobKind;
  readonly id: Uint8Array;
  readonly offset: number;
  /** As it is there: sealed. */
  readonly length: number;
  /** Of what it is when it has been decompressed. Undefined: it is not compressed. */
  readonly plainLength: number | undefined;
}

const types: Readonly<Record<number, { kind: BlobKind; isCompressed: boolean }>> = {
  0: { kind: 'data', isCompressed: false },
  1: { kind: 'tree', isCompressed: false },
  2: { kind: 'data', isCompressed: true },
  3: { kind: 'tree', isCompressed: true },
};
const lengthBytes = 4;
const plainEntryBytes = 1 + 4 + idBytes;
const compressedEntryBytes = plainEntryBytes + 4;

/** Largest plain blob of a kind. */
export function maxBlobBytes(kind: BlobKind): number {
  return kind === 'data' ? maxDataBytes : maxTreeBytes;
}

export function encodeTable(blobs: readonly PackedBlob[]): Uint8Array {
  const sizes = blobs.map(({ plainLength }) =>
    plainLength === undefined ? plainEntryBytes : compressedEntryBytes,
  );
  const table = new Uint8Array(sizes.reduce((sum, size) => sum + size, 0));
  const view = new DataView(table.buffer);
  let at = 0;
  for (const { kind, id, length, plainLength } of blobs) {
    view.setUint8(at, (kind === 'tree' ? 1 : 0) + (plainLength === undefined ? 0 : 2));
    view.setUint32(at + 1, length, true);
    at += 5;
    if (plainLength !== undefined) {
      view.setUint32(at, plainLength, true);
      at += 4;
    }
    table.set(id, at);
    at += idBytes;
  }
  return table;
}

/** Errors: EIO. */
export function decodeTable(table: Uint8Array): PackedBlob[] {
  const view = new DataView(table.buffer, table.byteOffset, table.length);
  const blobs: PackedBlob[] = [];
  let offset = 0;
  for (let at = 0; at < table.length; ) {
    const type = types[view.getUint8(at)];
    if (!type) throw new BlockError('EIO', `its table has a blob of type ${view.getUint8(at)}`);
    const { kind, isCompressed } = type;
    const end = at + (isCompressed ? compressedEntryBytes : plainEntryBytes);
    if (end > table.length) throw new BlockError('EIO', 'its table ends in the middle of an entry');
    const length = view.getUint32(at + 1, true);
    const plainLength = isCompressed ? view.getUint32(at + 5, true) : undefined;
    blobs.push({ kind, id: table.slice(end - idBytes, end), offset, length, plainLength });
    offset += length;
    at = end;
  }
  return blobs;
}

/** The table, sealed, and its length: what comes behind the blobs. */
export function packTail(sealedTable: Uint8Array): Uint8Array {
  const tail = new Uint8Array(sealedTable.length + lengthBytes);
  tail.set(sealedTable);
  new DataView(tail.buffer).setUint32(sealedTable.length, sealedTable.length, true);
  return tail;
}

/** What is in `pack`, all of one, by its own table. Errors: EIO when it is damaged. */
export async function readTable(
  primitives: Pick<Primitives, 'ciphers'>,
  keys: SealingKeys,
  pack: Uint8Array,
): Promise<PackedBlob[]> {
  const bytes = pack.length;
  if (bytes < lengthBytes + sealingBytes) throw new BlockError('EIO', `it has only ${bytes} bytes`);
  const tableEnd = bytes - lengthBytes;
  const length = new DataView(pack.buffer, pack.byteOffset).getUint32(tableEnd, true);
  if (length > maxPackHeaderBytes || length > tableEnd)
    throw new BlockError('EIO', `its table would have ${length} bytes`);
  const blobBytes = tableEnd - length;
  const blobs = decodeTable(await unseal(primitives, keys, pack.subarray(blobBytes, tableEnd)));
  const end = blobs.reduce((sum, blob) => sum + blob.length, 0);
  if (end !== blobBytes) throw new BlockError('EIO', `its table describes ${end} bytes of ${blobBytes}`);
  return blobs;
}
