/**
 * The descriptor: the text that says what an image is made of (specification: vmdk, section 1).
 *
 *     # Disk DescriptorFile
 *     version=1
 *     CID=2cca7f6d                                  another one whenever the content is changed
 *     parentCID=ffffffff                            that of the parent when the image was made; this one: none
 *     createType="twoGbMaxExtentFlat"
 *     parentFileNameHint="base.vmdk"
 *     RW 4194304 FLAT "disk-f001.vmdk" 0            access, sectors, type, file, its first sector
 *     ddb.adapterType = "ide"                       of no concern here
 */
import { BlockError, invalid } from '../../../base/errors.ts';
import { sectorBytes } from '../../../base/sectors.ts';

/** Content id of a parent that is not there. */
export const noParent = 0xffff_ffff;

/** Of a file of its own. */
export const maxDescriptorBytes = 1 << 20;
/** 8 TiB in extents of 2 GiB. Each is an open file. */
export const maxExtents = 4096;
const maxDiskBytes = Number.MAX_SAFE_INTEGER;

export type ExtentType = 'FLAT' | 'VMFS' | 'SPARSE' | 'VMFSSPARSE' | 'ZERO';

export interface ExtentLine {
  readonly type: ExtentType;
  readonly bytes: number;
  /** Empty for ZERO. */
  readonly filename: string;
  /** Where its data starts in the file. */
  readonly offset: number;
  readonly isReadOnly: boolean;
}

export interface Descriptor {
  readonly cid: number;
  /** Where the digits of it are in the text. */
  readonly cidDigits: { readonly offset: number; readonly count: number };
  readonly parentCid: number;
  readonly createType: string;
  readonly parentName: string | undefined;
  readonly extents: readonly ExtentLine[];
}

const isExtent = /^[ \t]*(?:RW|RDONLY|NOACCESS)[ \t]/;
const extentLine = /^\s*(\S+)[ \t]+(\d{1,15})[ \t]+([A-Z]+)(?:[ \t]+"([^"]+)")?(?:[ \t]+(\d{1,15}))?[ \t]*$/;

/** `text`: one character a byte. Errors: EINVAL, ENOTSUP: what is wrong with it. */
export function parseDescriptor(text: string): Descriptor {
  const cid = /^[ \t]*CID=([0-9a-fA-F]{1,8})[ \t]*\r?$/m.exec(text);
  const createType = /^[ \t]*createType[ \t]*=[ \t]*"([^"\r\n]*)"/m.exec(text)?.[1];
  if (!cid?.[1] || createType === undefined) throw invalid('invalid VMDK image descriptor');
  const parentCid = /^[ \t]*parentCID=([0-9a-fA-F]{1,8})[ \t]*\r?$/m.exec(text)?.[1];
  const parentName = /^[ \t]*parentFileNameHint[ \t]*=[ \t]*"([^"\r\n]*)"/m.exec(text)?.[1];
  return {
    cid: Number.parseInt(cid[1], 16),
    cidDigits: { offset: cid.index + cid[0].indexOf('=') + 1, count: cid[1].length },
    parentCid: parentCid === undefined ? noParent : Number.parseInt(parentCid, 16),
    createType,
    parentName: parentName === undefined ? undefined : utf8(parentName),
    extents: parseExtents(text),
  };
}

function parseExtents(text: string): ExtentLine[] {
  const extents: ExtentLine[] = [];
  let total = 0;
  for (const line of text.split(/\r?\n/)) {
    if (!isExtent.test(line)) continue;
    if (extents.length === maxExtents) throw invalid(`Image has more than ${maxExtents} extents`);
    const extent = parseExtent(line);
    total += extent.bytes;
    if (total > maxDiskBytes) throw new BlockError('EFBIG', 'Image is too large');
    extents.push(extent);
  }
  return extents;
}

function parseExtent(line: string): ExtentLine {
  const refused = invalid(`Invalid extent line: ${line}`);
  const [, access, sectors, type, filename, start] = extentLine.exec(line) ?? [];
  const bytes = Number(sectors) * sectorBytes;
  if (!(bytes > 0)) throw refused;
  if (access === 'NOACCESS')
    throw new BlockError('ENOTSUP', `Extents without access are not supported: ${line}`);
  const common = { bytes, offset: Number(start ?? 0) * sectorBytes, isReadOnly: access === 'RDONLY' };
  if (type === 'ZERO') return { ...common, type, filename: '' };
  if (type !== 'FLAT' && type !== 'VMFS' && type !== 'SPARSE' && type !== 'VMFSSPARSE') throw refused;
  // Of these, only what is flat starts anywhere in its file, and has to say where.
  if (filename === undefined || (type === 'FLAT') !== (start !== undefined)) throw refused;
  return { ...common, type, filename: utf8(filename) };
}

/** What the bytes that a text has one by one mean. */
function utf8(text: string): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(
    Uint8Array.from(text, (char) => char.charCodeAt(0)),
  );
}

interface NewDescriptor {
  cid: number;
  parent: { readonly name: string; readonly cid: number } | undefined;
  createType: string;
  extents: readonly Pick<ExtentLine, 'type' | 'bytes' | 'filename'>[];
  /** Of the disk. */
  bytes: number;
  adapterType: string;
  hardwareVersion: string;
  toolsVersion: string;
}

const sectorsPerTrack = 63;

export function formatDescriptor(image: NewDescriptor): string {
  const heads = image.adapterType === 'ide' ? 16 : 255;
  const cylinders = Math.floor(image.bytes / sectorBytes / (heads * sectorsPerTrack));
  return [
    '# Disk DescriptorFile',
    'version=1',
    `CID=${hex(image.cid)}`,
    `parentCID=${hex(image.parent?.cid ?? noParent)}`,
    `createType="${image.createType}"`,
    ...(image.parent ? [`parentFileNameHint="${image.parent.name}"`] : []),
    '',
    '# Extent description',
    ...image.extents.map(formatExtent),
    '',
    '# The Disk Data Base',
    '#DDB',
    '',
    `ddb.virtualHWVersion = "${image.hardwareVersion}"`,
    `ddb.geometry.cylinders = "${cylinders}"`,
    `ddb.geometry.heads = "${heads}"`,
    `ddb.geometry.sectors = "${sectorsPerTrack}"`,
    `ddb.adapterType = "${image.adapterType}"`,
    `ddb.toolsVersion = "${image.toolsVersion}"`,
    '',
  ].join('\n');
}

function formatExtent({ type, bytes, filename }: Pick<ExtentLine, 'type' | 'bytes' | 'filename'>): string {
  return `RW ${bytes / sectorBytes} ${type} "${filename}"${type === 'FLAT' ? ' 0' : ''}`;
}

function hex(cid: number): string {
  return cid.toString(16).padStart(8, '0');
}
