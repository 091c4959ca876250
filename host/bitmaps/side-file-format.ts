/**
 * The form of the file that keeps dirty bitmaps beside an image: `IMAGE.bitmaps`. Little-endian.
 *
 * | at           | what                                                                                            |
 * | ------------ | ----------------------------------------------------------------------------------------------- |
 * | 0, 4096      | two places for the head, one sector each: it says where the rest is, and how long               |
 * | 512          | a signature, for good: what lacks it is somebody else's file                                    |
 * | area         | pages of regions, 2048 bytes each, then the checkpoint: all bitmaps at one instant              |
 *
 * A page says which of 3904 regions of the disk may have been written to since the checkpoint. It is there four times:
 * two places, written in turn, with two copies each; regions are only ever added, so all that can be read of the four
 * together is right. A write that was torn spoils one place, a damaged sector one copy.
 *
 * Heads carry a sequence, and pages the sequence of their head. Only one head is there but for moments: that of a new
 * checkpoint is written when its area is durable, and the old one erased then. With two, the higher one counts.
 *
 * Every head, page and checkpoint has a CRC-32. A reader believes all or nothing: what is damaged beyond the above is
 * as good as absent.
 *
 * Head: magic `BYBITMAP`, crc of what follows, version 1, state (1 in use, 2 clean), sequence, identity and former
 * identity, disk length, region bytes, offset of the area, pages, length and crc of the checkpoint, time stamp of the image.
 */
import { concatenated } from '../base/concatenated.ts';
import { crc32 } from '../base/crc32.ts';
import { decodeCString, decodeText } from '../base/text.ts';
import { HierarchicalBitmap } from '../core/bitmap.ts';

export const sectorBytes = 512;
export const headPlaces = [0, 4096] as const;
export const firstAreaOffset = 8192;
export const pageBytes = 4 * sectorBytes;
export const regionsPerPage = (sectorBytes - 24) * 8;
/** What is left out of a checkpoint when all of it is clean. */
const wordChunkBytes = 4096;

export const signaturePlace = sectorBytes;
export const signature = new TextEncoder().encode('blockyard dirty bitmaps beside an image');
const magic = new TextEncoder().encode('BYBITMAP');
const version = 1;
const pageMagic = 0x47504d42;
const states = ['', 'in-use', 'clean'] as const;

export interface Head {
  /** `in-use`: regions and checkpoint hold together; `clean`: the checkpoint is exact. */
  readonly state: 'in-use' | 'clean';
  readonly sequence: number;
  /** What the image must store for this to be about it, in hexadecimal; or `former`, while it is being changed there. */
  readonly identity: string;
  readonly former: string;
  /** Bytes. */
  readonly diskBytes: number;
  readonly regionBytes: number;
  readonly areaOffset: number;
  readonly pages: number;
  readonly payloadBytes: number;
  readonly payloadCrc: number;
  /** When the image was last changed, as its file system says; empty when unknown. At most 32 characters. */
  readonly imageTime: string;
}

/** A bitmap in a checkpoint. */
export interface SavedBitmap {
  readonly name: string;
  readonly granularity: number;
  readonly enabled: boolean;
  /** Nobody knows what it should hold. */
  readonly inconsistent: boolean;
  /** Nobody changes them any more. */
  readonly bits: HierarchicalBitmap;
}

export function encodeHead(head: Head): Uint8Array {
  const bytes = new Uint8Array(sectorBytes);
  const view = new DataView(bytes.buffer);
  bytes.set(magic);
  view.setUint32(12, version, true);
  view.setUint32(16, states.indexOf(head.state), true);
  const numbers = [
    head.sequence,
    head.diskBytes,
    head.regionBytes,
    head.areaOffset,
    head.pages,
    head.payloadBytes,
    head.payloadCrc,
  ];
  for (const [index, value] of numbers.entries()) view.setBigUint64(24 + index * 8, BigInt(value), true);
  bytes.set(identityBytes(head.identity), 80);
  bytes.set(identityBytes(head.former), 88);
  bytes.set(new TextEncoder().encode(head.imageTime), 96);
  view.setUint32(8, crc32(bytes.subarray(12)), true);
  return bytes;
}

/** Undefined when there is none, or one that cannot be believed. */
export function decodeHead(bytes: Uint8Array): Head | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, sectorBytes);
  if (magic.some((byte, index) => bytes[index] !== byte)) return undefined;
  if (view.getUint32(8, true) !== crc32(bytes.subarray(12, sectorBytes))) return undefined;
  const state = states[view.getUint32(16, true)];
  if (view.getUint32(12, true) !== version || !state) return undefined;
  const number = (index: number) => Number(view.getBigUint64(24 + index * 8, true));
  const time = bytes.subarray(96, 128);
  return {
    state,
    sequence: number(0),
    identity: hex(bytes.subarray(80, 88)),
    former: hex(bytes.subarray(88, 96)),
    diskBytes: number(1),
    regionBytes: number(2),
    areaOffset: number(3),
    pages: number(4),
    payloadBytes: number(5),
    payloadCrc: number(6),
    imageTime: decodeCString(time),
  };
}

/** One copy of a page. `bits`: those of its regions. */
export function encodePage(sequence: number, index: number, bits: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(sectorBytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, pageMagic, true);
  view.setBigUint64(8, BigInt(sequence), true);
  view.setUint32(16, index, true);
  bytes.set(bits, 24);
  view.setUint32(4, crc32(bytes.subarray(8)), true);
  return bytes;
}

/** All regions that the four copies of a page know of; undefined when none of them can be believed. */
export function decodePage(sequence: number, index: number, copies: Uint8Array): Uint8Array | undefined {
  let bits: Uint8Array | undefined;
  for (let at = 0; at < pageBytes; at += sectorBytes) {
    const bytes = copies.subarray(at, at + sectorBytes);
    const view = new DataView(bytes.buffer, bytes.byteOffset, sectorBytes);
    const isThis =
      view.getUint32(0, true) === pageMagic &&
      view.getBigUint64(8, true) === BigInt(sequence) &&
      view.getUint32(16, true) === index &&
      view.getUint32(4, true) === crc32(bytes.subarray(8));
    if (!isThis) continue;
    bits ??= new Uint8Array(regionsPerPage / 8);
    // A page has a head of 24 bytes, and as many as `bits`.
    for (let i = 0; i < bits.length; i++) bits[i]! |= bytes[24 + i]!;
  }
  return bits;
}

/** A bitmap: its numbers, its name, and its words in chunks, each after its place, those that are clear left out. */
export function encodeBitmaps(bitmaps: readonly SavedBitmap[]): Uint8Array {
  const parts: Uint8Array[] = [numbers(bitmaps.length)];
  for (const { name, granularity, enabled, inconsistent, bits } of bitmaps) {
    const nameBytes = new TextEncoder().encode(name);
    const flags = (enabled ? 1 : 0) | (inconsistent ? 2 : 0);
    const { size, serializedBytes } = bits;
    parts.push(numbers(nameBytes.length, granularity, flags, size, serializedBytes), nameBytes);
    const covered = wordChunkBytes * 8 * granularity;
    for (let at = bits.nextDirty(0, size); at >= 0; ) {
      const index = Math.floor(at / covered);
      const end = (index + 1) * covered;
      parts.push(numbers(index * wordChunkBytes), bits.serialize(index * covered, covered));
      at = end < size ? bits.nextDirty(end, size - end) : -1;
    }
    parts.push(numbers(serializedBytes));
  }
  return concatenated(parts);
}

/** Of bytes whose checksum was right. Errors: ENOMEM. */
export function decodeBitmaps(bytes: Uint8Array): SavedBitmap[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  const next = () => {
    at += 8;
    return Number(view.getBigUint64(at - 8, true));
  };
  return Array.from({ length: next() }, () => {
    const [nameLength, granularity, flags, size, wordBytes] = [next(), next(), next(), next(), next()];
    const name = decodeText(bytes.subarray(at, at + nameLength));
    at += nameLength;
    const bits = HierarchicalBitmap.create(size, granularity);
    for (let offset = next(); offset < wordBytes; offset = next()) {
      const length = Math.min(wordChunkBytes, wordBytes - offset);
      bits.deserialize(bytes.subarray(at, at + length), offset * 8 * granularity);
      at += length;
    }
    return { name, granularity, enabled: (flags & 1) !== 0, inconsistent: (flags & 2) !== 0, bits };
  });
}

function numbers(...values: number[]): Uint8Array {
  const bytes = new Uint8Array(values.length * 8);
  const view = new DataView(bytes.buffer);
  for (const [index, value] of values.entries()) view.setBigUint64(index * 8, BigInt(value), true);
  return bytes;
}

export function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** The eight bytes of an identity; zeros for none. */
function identityBytes(identity: string): Uint8Array {
  return Uint8Array.from({ length: 8 }, (_, i) =>
    Number.parseInt(identity.slice(2 * i, 2 * i + 2) || '0', 16),
  );
}
