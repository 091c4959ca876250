/**
 * The header of a VDI image (specification: vdi, section 1). All numbers are little-endian; places are offsets in the file.
 *
 *   0 text that tells people   64 signature   68 version   72 header bytes   76 type   80 flags   84 description
 * 340 block map   344 first block   360 sector bytes   368 disk bytes, 64 bit   376 block bytes   380 extra bytes of a block
 * 384 blocks   388 blocks allocated   392 UUID   408 UUID of the last change   424, 440 UUIDs of the image before and the parent
 */
import { BlockError, invalid } from '../../base/errors.ts';
import { sectorBytes, wholeSectors } from '../../base/sectors.ts';
import { viewOf } from '../../base/view-of.ts';
import { tableBytes } from '../appended/block-table.ts';
import { blockBytes, checkDiskBytes, maxBlocks } from './limits.ts';

const signature = 0xbeda_107f;
const signatureOffset = 64;
/** What of the file is read as header, and written when blocks were added. */
export const headBytes = 512;

const version = 0x0001_0001;
/** Of the part behind the version. */
const declaredHeaderBytes = 0x180;
const text = '<<< blockyard Virtual Disk Image >>>\n';

const imageTypes = { dynamic: 1, static: 2 } as const;
/** Those that hold what changed since another image. */
const refusedTypes: Readonly<Record<number, string>> = { 3: 'undo', 4: 'differencing' };

const field = {
  headerBytes: 72,
  type: 76,
  mapOffset: 340,
  dataOffset: 344,
  sectorBytes: 360,
  diskBytes: 368,
  blockBytes: 376,
  extraBytes: 380,
  blocks: 384,
  allocated: 388,
  uuid: 392,
  changeUuid: 408,
  linkUuid: 424,
  parentUuid: 440,
} as const;
const uuidBytes = 16;

export interface VdiHeader {
  readonly isStatic: boolean;
  /** In whole sectors. */
  readonly diskBytes: number;
  readonly mapOffset: number;
  readonly dataOffset: number;
  /** Of the map. */
  readonly blocks: number;
  /** How many blocks are stored, as the image says. */
  readonly allocated: number;
}

/** `fileBytes`: of the whole file. Errors: EINVAL, ENOTSUP, for what cannot be opened. */
export function parseHeader(head: Uint8Array, fileBytes: number): VdiHeader {
  const view = viewOf(head);
  const get = (name: keyof typeof field): number => view.getUint32(field[name], true);
  const diskBytes = view.getBigUint64(field.diskBytes, true);
  checkDiskBytes(diskBytes);
  const found = view.getUint32(signatureOffset, true);
  if (found !== signature) throw invalid(`Image not in VDI format (bad signature ${hex(found, 8)})`);
  const [minor, major] = [view.getUint16(68, true), view.getUint16(70, true)];
  if (minor !== 1 || major !== 1) throw unsupported(`version ${major}.${minor}`);
  checkLayout(get, Number(diskBytes), fileBytes);
  const hasUuid = (at: number): boolean => head.subarray(at, at + uuidBytes).some((byte) => byte !== 0);
  if (hasUuid(field.linkUuid)) throw unsupported('non-NULL link UUID');
  if (hasUuid(field.parentUuid)) throw unsupported('non-NULL parent UUID');
  const type = refusedTypes[get('type')];
  if (type !== undefined) throw unsupported(`${type} image`);
  return {
    isStatic: get('type') === imageTypes.static,
    diskBytes: wholeSectors(Number(diskBytes)),
    mapOffset: get('mapOffset'),
    dataOffset: get('dataOffset'),
    blocks: get('blocks'),
    allocated: get('allocated'),
  };
}

function checkLayout(get: (name: keyof typeof field) => number, bytes: number, fileBytes: number): void {
  const [mapOffset, dataOffset, blocks] = [get('mapOffset'), get('dataOffset'), get('blocks')];
  const diskBytes = wholeSectors(bytes);
  if (mapOffset % sectorBytes !== 0) throw unsupported(`unaligned block map offset 0x${hex(mapOffset)}`);
  if (dataOffset % sectorBytes !== 0) throw unsupported(`unaligned data offset 0x${hex(dataOffset)}`);
  if (get('sectorBytes') !== sectorBytes)
    throw unsupported(`sector size ${get('sectorBytes')} is not ${sectorBytes}`);
  if (get('blockBytes') !== blockBytes)
    throw unsupported(`block size ${get('blockBytes')} is not ${blockBytes}`);
  if (get('extraBytes') !== 0) throw unsupported(`${get('extraBytes')} extra bytes in each block`);
  if (diskBytes > blocks * blockBytes)
    throw unsupported(`disk size ${diskBytes}, image bitmap has room for ${blocks * blockBytes}`);
  if (blocks > maxBlocks) throw unsupported(`too many blocks ${blocks}, max is ${maxBlocks}`);
  const mapEnd = mapOffset + tableBytes(blocks);
  if (mapOffset < headBytes) throw unsupported(`block map offset 0x${hex(mapOffset)} is within the header`);
  if (dataOffset < mapEnd) throw unsupported(`data offset 0x${hex(dataOffset)} is within the block map`);
  if (mapEnd > wholeSectors(fileBytes)) throw invalid('The block map is behind the end of the file');
}

function hex(value: number, digits = 0): string {
  return value.toString(16).padStart(digits, '0');
}

function unsupported(what: string): BlockError {
  return new BlockError('ENOTSUP', `unsupported VDI image (${what})`);
}

interface NewHeader {
  readonly isStatic: boolean;
  readonly diskBytes: number;
  /** Two UUIDs, most significant byte first. */
  readonly uuids: readonly [Uint8Array, Uint8Array];
}

/** The header of a new image, whose map follows it and whose blocks follow the map. */
export function newHeader({ isStatic, diskBytes, uuids }: NewHeader): {
  head: Uint8Array;
  layout: VdiHeader;
} {
  const blocks = Math.ceil(diskBytes / blockBytes);
  const layout = {
    isStatic,
    diskBytes,
    mapOffset: headBytes,
    dataOffset: headBytes + wholeSectors(tableBytes(blocks)),
    blocks,
    allocated: isStatic ? blocks : 0,
  };
  const head = new Uint8Array(headBytes);
  head.set(new TextEncoder().encode(text));
  const view = new DataView(head.buffer);
  const set = (name: keyof typeof field, value: number): void => view.setUint32(field[name], value, true);
  view.setUint32(signatureOffset, signature, true);
  view.setUint32(68, version, true);
  set('headerBytes', declaredHeaderBytes);
  set('type', isStatic ? imageTypes.static : imageTypes.dynamic);
  set('mapOffset', layout.mapOffset);
  set('dataOffset', layout.dataOffset);
  set('sectorBytes', sectorBytes);
  view.setBigUint64(field.diskBytes, BigInt(diskBytes), true);
  set('blockBytes', blockBytes);
  set('blocks', blocks);
  set('allocated', layout.allocated);
  head.set(littleEndianUuid(uuids[0]), field.uuid);
  head.set(littleEndianUuid(uuids[1]), field.changeUuid);
  return { head, layout };
}

/** Its first three numbers are stored as all others are. */
function littleEndianUuid(uuid: Uint8Array): Uint8Array {
  const reversed = (from: number, to: number): Uint8Array => uuid.slice(from, to).reverse();
  return Uint8Array.of(...reversed(0, 4), ...reversed(4, 6), ...reversed(6, 8), ...uuid.subarray(8));
}

/** Says in a header that so many blocks are stored. */
export function setAllocated(head: Uint8Array, allocated: number): void {
  new DataView(head.buffer, head.byteOffset).setUint32(field.allocated, allocated, true);
}
