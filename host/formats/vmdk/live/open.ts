/**
 * Opening an image: its descriptor, which is in a file of its own or in the sparse extent that is all of it, and the extents
 * that it is made of (specification: vmdk, section 1).
 */
import { BlockError, invalid } from '../../../base/errors.ts';
import { wholeSectors } from '../../../base/sectors.ts';
import { viewOf } from '../../../base/view-of.ts';
import type { Driver } from '../../../block/driver.ts';
import type { Edge } from '../../../block/edge.ts';
import type { OpenContext } from '../../../block/open-context.ts';
import { type Descriptor, type ExtentLine, maxDescriptorBytes, parseDescriptor } from '../disk/descriptor.ts';
import { footerBytes, headerInFooter } from '../disk/markers.ts';
import {
  cowdMagic,
  headerBytes,
  isAtEnd,
  parseCowdHeader,
  parseSparseHeader,
  type SparseLayout,
  sparseMagic,
} from '../disk/sparse-header.ts';
import { ContentId } from './content-id.ts';
import { type DiskExtent, FlatExtent, ZeroExtent } from './extent.ts';
import { StreamDriver, VmdkDriver } from './image.ts';
import { SparseExtent } from './sparse-extent.ts';

/** Types of images whose descriptor is a file of its own. */
const typesWithExtents = [
  'monolithicFlat',
  'vmfs',
  'vmfsSparse',
  'twoGbMaxExtentSparse',
  'twoGbMaxExtentFlat',
];
const typesInOneFile = ['monolithicSparse', 'streamOptimized'];

/** What blockdev-add does. */
export async function openImage(context: OpenContext): Promise<Driver> {
  const file = await context.openChild('file', 'file');
  const head = new Uint8Array(headerBytes);
  await file.read(0, head);
  const magic = viewOf(head).getUint32(0, true);
  // Extents of ESX hosts have no descriptor in them.
  if (magic === cowdMagic) throw notAnImage(context);
  return magic === sparseMagic ? openMonolithic(context, file, head) : openWithExtents(context, file);
}

function notAnImage(context: OpenContext): BlockError {
  return invalid(`File of node '${context.nodeName}' is an extent without a descriptor`);
}

async function openMonolithic(context: OpenContext, file: Edge, head: Uint8Array): Promise<Driver> {
  const layout = await readLayout(file, head);
  if (!layout.descriptor) throw notAnImage(context);
  const { offset, bytes } = layout.descriptor;
  const text = await readText(file, offset, bytes);
  if (text === '') throw notAnImage(context);
  const descriptor = parseDescriptor(text);
  requireType(descriptor, typesInOneFile);
  requireWritable(context, layout.isReadOnly || descriptor.extents.some(({ isReadOnly }) => isReadOnly));
  const extent = await SparseExtent.open(context, file, layout, '');
  return makeDriver(context, { file, offset }, descriptor, [extent]);
}

async function openWithExtents(context: OpenContext, file: Edge): Promise<Driver> {
  const bytes = await file.getByteLength();
  if (bytes > maxDescriptorBytes) throw invalid('invalid VMDK image descriptor');
  const descriptor = parseDescriptor(await readText(file, 0, bytes));
  requireType(descriptor, typesWithExtents);
  if (descriptor.extents.length === 0) throw invalid('Image has no extents');
  requireWritable(
    context,
    descriptor.extents.some(({ isReadOnly }) => isReadOnly),
  );
  const extents: DiskExtent[] = [];
  for (const line of descriptor.extents) extents.push(await openExtent(context, extents.length, line));
  return makeDriver(context, { file, offset: 0 }, descriptor, extents);
}

interface Place {
  file: Edge;
  /** Of the descriptor in it. */
  offset: number;
}

function makeDriver(
  context: OpenContext,
  { file, offset }: Place,
  descriptor: Descriptor,
  extents: readonly DiskExtent[],
): Driver {
  const contentId = new ContentId(file, offset, descriptor, context.platform.random);
  const Kind = extents.some(({ info }) => info.compressed) ? StreamDriver : VmdkDriver;
  return new Kind(context, { descriptor, contentId, extents });
}

async function openExtent(context: OpenContext, index: number, line: ExtentLine): Promise<DiskExtent> {
  const { type, filename, bytes } = line;
  if (type === 'ZERO') return new ZeroExtent(bytes);
  const isFlat = type === 'FLAT' || type === 'VMFS';
  const file = await context.openNamedFile(`extents.${index}`, filename, isFlat ? 'data' : 'file');
  if (isFlat) return new FlatExtent(file, line);
  const head = new Uint8Array(headerBytes);
  await file.read(0, head);
  const layout = await readLayout(file, head);
  if (layout.diskBytes < bytes)
    throw invalid(`Extent '${filename}' has ${layout.diskBytes} bytes, and not ${bytes}`);
  requireWritable(context, layout.isReadOnly);
  return SparseExtent.open(context, file, { ...layout, diskBytes: bytes }, type);
}

/** Of the header that counts. */
async function readLayout(file: Edge, head: Uint8Array): Promise<SparseLayout> {
  const fileBytes = await file.getByteLength();
  const magic = viewOf(head).getUint32(0, true);
  if (magic === cowdMagic) return parseCowdHeader(head, fileBytes);
  if (magic !== sparseMagic) throw invalid('Image not in VMDK format');
  if (!isAtEnd(head)) return parseSparseHeader(head, fileBytes);
  const footer = new Uint8Array(footerBytes);
  const start = wholeSectors(fileBytes) - footerBytes;
  if (start >= 0) await file.read(start, footer);
  const header = headerInFooter(footer);
  if (!header || viewOf(header).getUint32(0, true) !== sparseMagic || isAtEnd(header))
    throw invalid('Invalid footer');
  // What came behind it would be behind the end.
  return { ...parseSparseHeader(header, fileBytes), isReadOnly: true };
}

/** One character a byte, up to the first that is 0. */
async function readText(file: Edge, offset: number, bytes: number): Promise<string> {
  const text = new Uint8Array(Math.min(bytes, maxDescriptorBytes));
  await file.read(offset, text);
  const end = text.indexOf(0);
  return new TextDecoder('latin1').decode(end < 0 ? text : text.subarray(0, end));
}

function requireType({ createType }: Descriptor, types: readonly string[]): void {
  if (!types.includes(createType)) throw new BlockError('ENOTSUP', `Unsupported image type '${createType}'`);
}

/** Errors: EACCES, when it is to be written, and can only be read. */
function requireWritable(context: OpenContext, isReadOnly: boolean): void {
  const { flags } = context;
  if (!isReadOnly || flags.readOnly) return;
  if (!flags.autoReadOnly) throw new BlockError('EACCES', 'Image is read-only');
  context.fallBackToReadOnly();
}
