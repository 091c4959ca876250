/**
 * The header of a dynamic VHD image (specification: vpc, section 2): 1024 bytes, big-endian.
 *
 * 0 `cxsparse`   8 next structure, 64 bit: none   16 block table, 64 bit   24 version   28 entries of the table
 * 32 bytes of a block   36 checksum   40 the parent of a differencing image
 */
import { invalid } from '../../base/errors.ts';
import { roundUp, sectorBytes } from '../../base/sectors.ts';
import { viewOf } from '../../base/view-of.ts';
import { withChecksum } from './checksum.ts';

export const dynamicHeaderBytes = 1024;

const cookie = 'cxsparse';
const version = 0x0001_0000;
const nowhere = 0xffff_ffff_ffff_ffffn;
const checksumOffset = 36;

/** Of the table, which is in memory: 64 MiB. A disk of 2040 GiB in blocks of 2 MiB has a million. */
const maxTableEntries = 1 << 24;

export interface DynamicHeader {
  readonly tableOffset: number;
  readonly entries: number;
  readonly blockBytes: number;
}

/** `diskBytes`: what the table must have room for. Errors: EINVAL. */
export function parseDynamicHeader(bytes: Uint8Array, diskBytes: number): DynamicHeader {
  const view = viewOf(bytes);
  if (String.fromCharCode(...bytes.subarray(0, cookie.length)) !== cookie)
    throw invalid('Invalid header magic');
  const [entries, blockBytes] = [view.getUint32(28), view.getUint32(32)];
  if (blockBytes < sectorBytes || (blockBytes & (blockBytes - 1)) !== 0)
    throw invalid(`Invalid block size ${blockBytes}`);
  if (entries > maxTableEntries) throw invalid(`Max Table Entries too large (${entries | 0})`);
  if (entries * blockBytes < diskBytes) throw invalid('Page table too small');
  return { tableOffset: Number(view.getBigUint64(16)), entries, blockBytes };
}

export function newDynamicHeader({ tableOffset, entries, blockBytes }: DynamicHeader): Uint8Array {
  const bytes = new Uint8Array(dynamicHeaderBytes);
  const view = new DataView(bytes.buffer);
  bytes.set(new TextEncoder().encode(cookie));
  view.setBigUint64(8, nowhere);
  view.setBigUint64(16, BigInt(tableOffset));
  view.setUint32(24, version);
  view.setUint32(28, entries);
  view.setUint32(32, blockBytes);
  return withChecksum(bytes, checksumOffset);
}

/** Of a block, in front of its data: a bit for each of its sectors that was written, in whole sectors. */
export function bitmapBytesOf(blockBytes: number): number {
  return roundUp(blockBytes / sectorBytes / 8, sectorBytes);
}
