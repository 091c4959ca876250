/**
 * What stands in front of a compressed grain, and at the end of a file that was written as a stream (specification: vmdk,
 * section 4). Little-endian, at the start of a sector.
 *
 *   0 grain: its first sector on the disk, 64 bit; other markers: sectors that follow
 *   8 bytes of data, 32 bit; 0 for other markers
 *  12 grain: the data, as zlib has it (RFC 1950); other markers: their type
 */
import { sectorBytes } from '../../../base/sectors.ts';
import { viewOf } from '../../../base/view-of.ts';
import { getU64, setU64 } from './fields.ts';
import { headerBytes } from './sparse-header.ts';

export const grainMarkerBytes = 12;

interface GrainMarker {
  /** Offset on the disk of the extent, in bytes. */
  offset: number;
  /** Of data. */
  bytes: number;
}

export function parseGrainMarker(sector: Uint8Array): GrainMarker {
  const view = viewOf(sector);
  return { offset: getU64(view, 0) * sectorBytes, bytes: view.getUint32(8, true) };
}

/** Marker and data, in whole sectors. */
export function serializeGrain(offset: number, data: Uint8Array): Uint8Array {
  const bytes = Math.ceil((grainMarkerBytes + data.length) / sectorBytes) * sectorBytes;
  const grain = new Uint8Array(bytes);
  const view = viewOf(grain);
  setU64(view, 0, offset / sectorBytes);
  view.setUint32(8, data.length, true);
  grain.set(data, grainMarkerBytes);
  return grain;
}

const footerType = 3;

/** The end of a file with a footer: its marker, a header, and the marker of the end, which is all zeros. */
export const footerBytes = 3 * sectorBytes;

/** The header in it; undefined when it is none. */
export function headerInFooter(footer: Uint8Array): Uint8Array | undefined {
  const view = viewOf(footer);
  const isFooter =
    getU64(view, 0) === 1 && view.getUint32(8, true) === 0 && view.getUint32(12, true) === footerType;
  const end = footer.subarray(2 * sectorBytes, 2 * sectorBytes + 16);
  if (!isFooter || end.some((byte) => byte !== 0)) return undefined;
  return footer.subarray(sectorBytes, sectorBytes + headerBytes);
}
