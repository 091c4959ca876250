/**
 * The length of VHD disks: cylinders, heads and sectors, by the algorithm of the published format (specification: vpc,
 * section 3). Most lengths are no product of three such numbers; a new disk gets the next that is, unless it is told
 * its size exactly.
 */
import { BlockError, invalid } from '../../base/errors.ts';
import { sectorBytes } from '../../base/sectors.ts';

/** Of a disk: 2040 GiB. */
export const maxSectors = 0xff00_0000;

export interface Geometry {
  readonly cylinders: number;
  readonly heads: number;
  readonly sectors: number;
}

/** It says no more than that the disk is larger than any that has a geometry. */
const largestGeometry: Geometry = { cylinders: 65_535, heads: 16, sectors: 255 };
const largestSectors = sectorsOf(largestGeometry);

export function sectorsOf({ cylinders, heads, sectors }: Geometry): number {
  return cylinders * heads * sectors;
}

export function isLargest(geometry: Geometry): boolean {
  return sectorsOf(geometry) === largestSectors;
}

/** That of the longest disk which is not longer than `total` sectors, or nearly so. */
function geometryOf(total: number): Geometry {
  if (total >= largestSectors) return largestGeometry;
  let [heads, sectors] = [16, 255];
  if (total < 65_535 * 16 * 63) {
    sectors = 17;
    heads = Math.max(4, Math.ceil(Math.floor(total / 17) / 1024));
    if (heads > 16 || Math.floor(total / 17) >= heads * 1024) [heads, sectors] = [16, 31];
    if (sectors === 31 && Math.floor(total / 31) >= 16 * 1024) sectors = 63;
  }
  return { cylinders: Math.floor(Math.floor(total / sectors) / heads), heads, sectors };
}

export interface DiskSize {
  /** In whole sectors. */
  readonly bytes: number;
  readonly geometry: Geometry;
}

/** What a disk of `bytes` becomes. `exact`: it keeps them, and has no geometry. Errors: EFBIG. */
export function chooseSize(bytes: number, exact: boolean): DiskSize {
  const total = Math.ceil(bytes / sectorBytes);
  if (total > maxSectors) throw new BlockError('EFBIG', 'Disk size is too large, max size is 2040 GiB');
  if (exact || total >= largestSectors) return { bytes: total * sectorBytes, geometry: largestGeometry };
  let geometry: Geometry = { cylinders: 0, heads: 0, sectors: 0 };
  // A cylinder is 4080 sectors at the most.
  for (let more = 0; sectorsOf(geometry) < total; more++) geometry = geometryOf(total + more);
  return { bytes: sectorsOf(geometry) * sectorBytes, geometry };
}

/** Errors: EFBIG; EINVAL, a disk would not have exactly that many bytes. */
export function checkExactSize(bytes: number, exact: boolean): void {
  const size = chooseSize(bytes, exact);
  if (size.bytes !== bytes) throw invalid('The requested image size cannot be represented in CHS geometry');
}
