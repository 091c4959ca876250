/**
 * The footer of a VHD image, which is its header as well (specification: vpc, section 1): 512 bytes at the end of the
 * file, and of a dynamic one at its start too. All numbers are big-endian.
 *
 *  0 `conectix`   8 features   12 version   16 dynamic header, 64 bit   24 seconds since 2000   28 creator   32 its version
 * 36 its system   40 original and 48 current disk bytes, 64 bit   56 cylinders, 16 bit   58 heads   59 sectors   60 type
 * 64 checksum   68 UUID   84 saved state
 */
import { BlockError, invalid } from '../../base/errors.ts';
import { sectorBytes } from '../../base/sectors.ts';
import { viewOf } from '../../base/view-of.ts';
import { withChecksum, wrongChecksum } from './checksum.ts';
import { type Geometry, isLargest, maxSectors, sectorsOf } from './geometry.ts';

export const footerBytes = 512;

const cookie = 'conectix';
const checksumOffset = 64;
const version = 0x0001_0000;
/** Set in all images. */
const reservedFeature = 2;
/** Of no header. */
const nowhere = 0xffff_ffff_ffff_ffffn;
/** 2000-01-01T00:00:00Z, in seconds of Unix. */
const epochSeconds = 946_684_800;

const diskTypes = { fixed: 2, dynamic: 3, differencing: 4 } as const;

/** Programs whose disks are as long as their geometry says; for all others the current size counts. */
const geometryCreators = ['vpc ', 'qemu'];
/** By which readers know that the size is exact, and that it is not. */
const creators = { exact: 'qem2', geometry: 'qemu' } as const;
const creatorVersion = 0x0005_0003;
const creatorSystem = 'Wi2k';

export interface Footer {
  readonly isFixed: boolean;
  readonly diskBytes: number;
  /** Of the header of a dynamic disk. */
  readonly headerOffset: number;
}

export function isFooter(bytes: Uint8Array): boolean {
  return text(bytes, 0, cookie.length) === cookie;
}

function text(bytes: Uint8Array, offset: number, length: number): string {
  return String.fromCharCode(...bytes.subarray(offset, offset + length));
}

/** Whether it says that the disk is the file in front of it. */
export function isFixed(bytes: Uint8Array): boolean {
  return viewOf(bytes).getUint32(60) === diskTypes.fixed;
}

/** Which of the two lengths in a footer counts. */
export type LengthChoice = (typeof lengthChoices)[number];
const lengthChoices = ['chs', 'current_size'] as const;

export function isLengthChoice(word: string): word is LengthChoice {
  return lengthChoices.some((choice) => choice === word);
}

/** `lengthBy`: absent, that depends on who made the image. Errors: EINVAL, EFBIG, ENOTSUP, for what cannot be opened. */
export function parseFooter(bytes: Uint8Array, lengthBy?: LengthChoice): Footer {
  const view = viewOf(bytes);
  if (wrongChecksum(bytes, checksumOffset)) throw invalid('Incorrect header checksum');
  if (view.getUint32(60) === diskTypes.differencing) {
    throw new BlockError('ENOTSUP', 'VPC images of type differencing are not supported');
  }
  const geometry = { cylinders: view.getUint16(56), heads: view.getUint8(58), sectors: view.getUint8(59) };
  lengthBy ??= geometryCreators.includes(text(bytes, 28, 4)) ? 'chs' : 'current_size';
  const byGeometry = lengthBy === 'chs' && !isLargest(geometry);
  const sectors = byGeometry ? sectorsOf(geometry) : Number(view.getBigUint64(48) / BigInt(sectorBytes));
  if (sectors > maxSectors) throw new BlockError('EFBIG');
  return {
    isFixed: isFixed(bytes),
    diskBytes: sectors * sectorBytes,
    headerOffset: Number(view.getBigUint64(16)),
  };
}

interface NewFooter {
  readonly isFixed: boolean;
  readonly isExact: boolean;
  readonly diskBytes: number;
  readonly geometry: Geometry;
  readonly uuid: Uint8Array;
  /** Of Unix. */
  readonly seconds: number;
  readonly headerOffset: number;
}

export function newFooter(image: NewFooter): Uint8Array {
  const { isFixed, isExact, diskBytes, geometry, uuid, seconds, headerOffset } = image;
  const bytes = new Uint8Array(footerBytes);
  const view = viewOf(bytes);
  const put = (offset: number, word: string): void => bytes.set(new TextEncoder().encode(word), offset);
  put(0, cookie);
  view.setUint32(8, reservedFeature);
  view.setUint32(12, version);
  view.setBigUint64(16, isFixed ? nowhere : BigInt(headerOffset));
  view.setUint32(24, Math.max(0, seconds - epochSeconds));
  put(28, isExact ? creators.exact : creators.geometry);
  view.setUint32(32, creatorVersion);
  put(36, creatorSystem);
  view.setBigUint64(40, BigInt(diskBytes));
  view.setBigUint64(48, BigInt(diskBytes));
  view.setUint16(56, geometry.cylinders);
  view.setUint8(58, geometry.heads);
  view.setUint8(59, geometry.sectors);
  view.setUint32(60, isFixed ? diskTypes.fixed : diskTypes.dynamic);
  bytes.set(uuid, 68);
  return withChecksum(bytes, checksumOffset);
}
