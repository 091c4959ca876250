/**
 * Making a new image: its extents, then the descriptor that makes an image of them (specification: vmdk, section 5).
 *
 * What `qemu-img create` makes, byte for byte but for the content id.
 */
import { assert } from '../../../base/assert.ts';
import { BlockError, invalid } from '../../../base/errors.ts';
import { sectorBytes } from '../../../base/sectors.ts';
import type { BlockBackend } from '../../../block/backend.ts';
import type { CreatePlace, CreateValues } from '../../../block/driver.ts';
import type { BlockGraph } from '../../../block/graph.ts';
import { inspectImage, type NewFiles, newFiles } from '../../../block/new-files.ts';
import { type ExtentType, formatDescriptor, maxExtents } from '../disk/descriptor.ts';
import {
  descriptorSectors,
  layOut,
  type NewSparseExtent,
  serializeDirectory,
  serializeHeader,
} from '../disk/sparse-header.ts';
import { newContentId } from '../live/content-id.ts';
import { Image } from '../live/image.ts';
import { type CreateParameters, parseCreateValues } from './create-options.ts';

/** Of a disk in several files. */
const splitBytes = 2 ** 31;

export async function createImage(
  file: BlockBackend,
  values: CreateValues,
  place: CreatePlace,
): Promise<void> {
  const files = newFiles(file, place);
  try {
    await writeImage(parseCreateValues(values), { file, files, graph: place.graph });
  } catch (error) {
    await files.remove();
    throw error;
  }
}

interface Place {
  file: BlockBackend;
  files: NewFiles;
  graph: BlockGraph;
}

async function writeImage(image: CreateParameters, { file, files, graph }: Place): Promise<void> {
  const parent = await findParent(image, files, graph);
  const cid = newContentId(graph.platform.random);
  const describe = (extents: readonly NewExtent[]): Uint8Array =>
    new TextEncoder().encode(
      formatDescriptor({ ...image, cid, parent, createType: image.subformat, extents }),
    );
  if (!image.isFlat && !image.isSplit) {
    files.end();
    const descriptor = describe([{ type: 'SPARSE', bytes: image.bytes, filename: files.name }]);
    await writeSparse(file, sparseExtent(image, image.bytes), descriptor);
    return;
  }
  const extents = await makeExtents(image, files);
  files.end();
  await clear(file, 0);
  await file.write(0, describe(extents));
  await file.flush();
}

interface NewExtent {
  type: ExtentType;
  bytes: number;
  filename: string;
}

async function findParent(
  { backingFile }: CreateParameters,
  files: NewFiles,
  graph: BlockGraph,
): Promise<{ name: string; cid: number } | undefined> {
  if (backingFile === undefined) return undefined;
  const image = { filename: files.backingPath(backingFile), format: 'vmdk' };
  const cid = await inspectImage(graph, image, (driver) => {
    assert(driver instanceof Image, 'opened as an image of this format');
    return driver.cid;
  });
  return { name: backingFile, cid };
}

/** They are named as the image is: `disk-flat.vmdk`, `disk-s001.vmdk`, `disk-f001.vmdk`. */
async function makeExtents(image: CreateParameters, files: NewFiles): Promise<NewExtent[]> {
  const { isFlat, isSplit, preallocation } = image;
  const { name } = files;
  const dot = name.lastIndexOf('.');
  const [stem, suffix] = dot < 0 ? [name, ''] : [name.slice(0, dot), name.slice(dot)];
  const extents: NewExtent[] = [];
  const most = isSplit ? splitBytes : image.bytes;
  if (image.bytes > most * maxExtents) throw new BlockError('EFBIG', 'File too large');
  for (let start = 0; start < image.bytes; start += most) {
    const index = extents.length;
    const bytes = Math.min(most, image.bytes - start);
    const number = isSplit ? `${isFlat ? 'f' : 's'}${String(index + 1).padStart(3, '0')}` : 'flat';
    const filename = await files.make(index, {
      name: `${stem}-${number}${suffix}`,
      values: isFlat ? { size: bytes, preallocation } : { size: 0 },
      ...(!isFlat && {
        write: (file: BlockBackend) => writeSparse(file, sparseExtent(image, bytes), undefined),
      }),
    });
    extents.push({ type: isFlat ? 'FLAT' : 'SPARSE', bytes, filename });
  }
  return extents;
}

function sparseExtent({ subformat, hasZeroedGrains }: CreateParameters, diskBytes: number): NewSparseExtent {
  return { diskBytes, hasZeroedGrains, isCompressed: subformat === 'streamOptimized' };
}

/** An extent without grains, all of whose tables have their place. Its header is written last, with a flush on either side. */
async function writeSparse(
  file: BlockBackend,
  extent: NewSparseExtent,
  descriptor: Uint8Array | undefined,
): Promise<void> {
  const layout = layOut(extent);
  if (descriptor && descriptor.length > descriptorSectors * sectorBytes)
    throw invalid('The descriptor does not fit into the image: its names are too long');
  const overheadBytes = layout.overhead * sectorBytes;
  await clear(file, overheadBytes);
  if (file.length < overheadBytes) await file.truncate(overheadBytes);
  for (const sector of [layout.redundantDirectory, layout.directory])
    if (layout.tables > 0) await file.write(sector * sectorBytes, serializeDirectory(layout, sector));
  if (descriptor) await file.write(sectorBytes, descriptor);
  await file.flush();
  await file.write(0, serializeHeader(extent, layout));
  await file.flush();
}

/** What was there before would show where nothing is written. A device is as long as before. */
async function clear(file: BlockBackend, bytes: number): Promise<void> {
  if (file.length > 0) await file.truncate(0);
  const stale = Math.min(file.length, bytes);
  if (stale > 0) await file.writeZeroes(0, stale, { mayUnmap: true });
}
