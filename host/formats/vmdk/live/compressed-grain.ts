/**
 * Grains that are compressed, one by one, as zlib has it (RFC 1950) behind a marker (specification: vmdk, section 4).
 */
import { concatenated } from '../../../base/concatenated.ts';
import { BlockError } from '../../../base/errors.ts';
import { sectorBytes } from '../../../base/sectors.ts';
import { viewOf } from '../../../base/view-of.ts';
import type { Edge } from '../../../block/edge.ts';
import type { Codecs } from '../../../platform/platform.ts';
import { grainMarkerBytes, parseGrainMarker } from '../disk/markers.ts';

/** Deflate, with a window of up to 32 KiB; a checksum that makes it a multiple of 31. */
const zlibHeader = Uint8Array.of(0x78, 0x9c);
const checksumBytes = 4;
/** What is stored as it is has at most as much to a block. */
const maxStoredBytes = 0xffff;

interface Grain {
  /** On the disk of the extent. */
  offset: number;
  bytes: number;
  /** The disk ends within it: its checksum is of what is behind that end, too. */
  isShort: boolean;
}

/** The content of the grain that is at `hostOffset`. EIO when it is damaged, or another's. */
export async function readGrain(
  { deflate }: Codecs,
  file: Edge,
  hostOffset: number,
  { offset, bytes, isShort }: Grain,
): Promise<Uint8Array> {
  const damaged = (what: string) => new BlockError('EIO', `Compressed grain at ${hostOffset} ${what}`);
  const first = new Uint8Array(sectorBytes);
  await file.read(hostOffset, first);
  const marker = parseGrainMarker(first);
  if (marker.offset !== offset) throw damaged(`is not that of offset ${offset}`);
  const end = hostOffset + grainMarkerBytes + marker.bytes;
  // What does not get smaller gets longer by its headers at the most.
  if (marker.bytes > 2 * bytes + sectorBytes || end > file.node.length) throw damaged('is too long');
  const data = new Uint8Array(marker.bytes);
  const start = Math.min(data.length, sectorBytes - grainMarkerBytes);
  data.set(first.subarray(grainMarkerBytes, grainMarkerBytes + start));
  if (start < data.length) await file.read(hostOffset + sectorBytes, data.subarray(start));
  if (data.length < zlibHeader.length + checksumBytes || !isZlib(data)) throw damaged('is not deflated');
  const grain = new Uint8Array(bytes);
  await deflate.decompress(data.subarray(zlibHeader.length), grain);
  const checksum = viewOf(data).getUint32(data.length - checksumBytes);
  if (!isShort && checksum !== adler32(grain)) throw damaged('has another checksum');
  return grain;
}

function isZlib(data: Uint8Array): boolean {
  const header = viewOf(data).getUint16(0);
  // The method, the checksum, and no dictionary that one would have to know.
  return (header & 0x0f00) === 0x0800 && header % 31 === 0 && (header & 0x20) === 0;
}

/** Whole grains; never fails to get one into the form, however little that saves. */
export async function compressGrain({ deflate }: Codecs, grain: Uint8Array): Promise<Uint8Array> {
  const stream = (await deflate.compress(grain, grain.length)) ?? stored(grain);
  const checksum = new Uint8Array(checksumBytes);
  viewOf(checksum).setUint32(0, adler32(grain));
  return concatenated([zlibHeader, stream, checksum]);
}

/** As blocks that are not compressed (RFC 1951, section 3.2.4). */
function stored(bytes: Uint8Array): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += maxStoredBytes) {
    const part = bytes.subarray(at, at + maxStoredBytes);
    const head = new Uint8Array(5);
    head[0] = at + part.length === bytes.length ? 1 : 0;
    viewOf(head).setUint16(1, part.length, true);
    viewOf(head).setUint16(3, ~part.length & 0xffff, true);
    parts.push(head, part);
  }
  return concatenated(parts);
}

/** RFC 1950, section 9. */
function adler32(bytes: Uint8Array): number {
  let [a, b] = [1, 0];
  for (let at = 0; at < bytes.length; ) {
    // As many as there are before the sums can get beyond 32 bits.
    for (const end = Math.min(bytes.length, at + 5552); at < end; at++) {
      a += bytes[at] ?? 0;
      b += a;
    }
    a %= 65_521;
    b %= 65_521;
  }
  return ((b << 16) | a) >>> 0;
}
