/**
 * Feature bits of the header, and the feature name table (specification: qcow2, sections 1.3, 1.5 and 1.7).
 *
 * Bits are 64-bit masks. A bit that is unknown here stops the open when it is incompatible, is kept when it is
 * compatible, and is cleared before the first write when it is autoclear.
 */
import { decodeCString } from '../../../base/text.ts';
import { viewOf } from '../../../base/view-of.ts';

export const incompatible = {
  dirty: 1n << 0n,
  corrupt: 1n << 1n,
  dataFile: 1n << 2n,
  compressionType: 1n << 3n,
  extendedL2: 1n << 4n,
} as const;
export const compatible = { lazyRefcounts: 1n << 0n } as const;
export const autoclear = {
  bitmaps: 1n << 0n,
  dataFileRaw: 1n << 1n,
  /** Ours: a journal of the bitmaps beside the image is about its present state (live/journal-tie.ts). */
  bitmapJournal: 1n << 62n,
} as const;

export const knownIncompatible = (1n << 5n) - 1n;

/** Which of the three fields of the header a bit is in, as the feature name table numbers them. */
const sets = { incompatible: 0, compatible: 1, autoclear: 2 } as const;

const entryBytes = 48;
const nameBytes = 46;

const names: readonly (readonly [set: number, bit: number, name: string])[] = [
  [sets.incompatible, 0, 'dirty bit'],
  [sets.incompatible, 1, 'corrupt bit'],
  [sets.incompatible, 2, 'external data file'],
  [sets.incompatible, 3, 'compression type'],
  [sets.incompatible, 4, 'extended L2 entries'],
  [sets.compatible, 0, 'lazy refcounts'],
  [sets.autoclear, 0, 'bitmaps'],
  [sets.autoclear, 1, 'raw external data'],
];

/** QEMU leaves the feature name table out where it would crowd cluster 0. */
const maxClusterBytesWithoutFeatureNames = 4096;

/** Whether the header of an image of version 3 has the table. */
export function hasFeatureNames({ clusterSize }: { clusterSize: number }): boolean {
  return clusterSize > maxClusterBytesWithoutFeatureNames;
}

/** The feature name table that QEMU writes: 8 entries of 48 bytes. */
export function featureNameTable(): Uint8Array {
  const table = new Uint8Array(names.length * entryBytes);
  for (const [index, [set, bit, name]] of names.entries()) {
    table[index * entryBytes] = set;
    table[index * entryBytes + 1] = bit;
    table.set(new TextEncoder().encode(name), index * entryBytes + 2);
  }
  return table;
}

/** `A, B, Unknown incompatible feature: HEX`: what QEMU says about bits it does not know. */
export function describeUnknownIncompatible(bits: bigint, table: Uint8Array | undefined): string {
  const parts: string[] = [];
  const view = table === undefined ? undefined : viewOf(table);
  for (let at = 0; view !== undefined && at + entryBytes <= view.byteLength; at += entryBytes) {
    const mask = 1n << BigInt(view.getUint8(at + 1) & 63);
    if (view.getUint8(at) !== sets.incompatible || (bits & mask) === 0n) continue;
    bits &= ~mask;
    const name = new Uint8Array(view.buffer, view.byteOffset + at + 2, nameBytes);
    parts.push(decodeCString(name));
  }
  if (bits !== 0n) parts.push(`Unknown incompatible feature: ${bits.toString(16)}`);
  return parts.join(', ');
}
