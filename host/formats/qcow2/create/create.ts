/**
 * Making a new qcow2 image (specification: qcow2, section 1.8).
 *
 * An image without preallocation is the one that `qemu-img create` makes, byte for byte. The file is new and nobody
 * uses it: the header that makes it an image is written last, with a flush on either side.
 */
import { assert } from '../../../base/assert.ts';
import { BlockError } from '../../../base/errors.ts';
import type { BlockBackend } from '../../../block/backend.ts';
import type { CreateDefinition, CreateJobDefinition, CreateValues } from '../../../block/driver.ts';
import type { BlockGraph } from '../../../block/graph.ts';
import { loadPart } from '../../../platform/platform.ts';
import { clearFile } from '../../clear-file.ts';
import { maxL1Entries } from '../disk/header.ts';
import { encodeBackingName } from '../disk/header-update.ts';
import type { NewImageFile } from '../disk/image-file.ts';
import type { PlannedEncryption } from '../live/encryption.ts';
import { type CreateJobOptions, createJobChildren, createJobOptions, createJobValues } from './create-job.ts';
import { type CreateParameters, createOptions, parseCreateValues } from './create-options.ts';
import { type ImageLayout, layOutImage, wholeDisk } from './layout.ts';
import { serializeNewHeader } from './new-header.ts';
import { writeTables } from './tables.ts';

const qcow2CreateJob: CreateJobDefinition<CreateJobOptions> = {
  options: createJobOptions,
  children: createJobChildren,
  values(options) {
    const values = createJobValues(options);
    parseCreateValues(values);
    return values;
  },
};

export const qcow2Create: CreateDefinition = {
  options: createOptions,
  job: qcow2CreateJob,
  checkValues: async (values, graph) => void (await planImage(parseCreateValues(values), graph)),
  async createImage(file: BlockBackend, values) {
    const image = await planImage(parseCreateValues(values), file.node.graph);
    await clearFile(file, image.layout.totalClusters * image.parameters.clusterSize);
    await writeImage(file, image);
  },
};

/**
 * Makes the image in an empty file. `graph`: where the secrets of an encrypted one are. EINVAL with QEMU's words for bad options;
 * ENOTSUP for what is not done here.
 */
export async function createImage(
  file: NewImageFile,
  values: CreateValues,
  graph?: BlockGraph,
): Promise<void> {
  await writeImage(file, await planImage(parseCreateValues(values), graph));
}

interface PlannedImage {
  parameters: CreateParameters;
  layout: ImageLayout;
  header: Uint8Array;
  encryption: PlannedEncryption | undefined;
}

/** Errors: what cannot be. */
async function planImage(parameters: CreateParameters, graph: BlockGraph | undefined): Promise<PlannedImage> {
  const encryption = parameters.encryption && (await planEncryption(parameters, graph));
  const { size, clusterSize, refcountOrder, preallocation } = parameters;
  const whole = wholeDisk(size, { clusterSize, l2EntryBytes: 8 });
  if (whole.l2Tables > maxL1Entries || !Number.isSafeInteger(size)) {
    throw new BlockError('EFBIG', 'Could not resize image: Failed to grow the L1 table: File too large');
  }
  const mapped = preallocation === 'off' ? { l2Tables: 0, dataClusters: 0 } : whole;
  const layout = layOutImage({
    ...{ clusterSize, refcountOrder, l1Entries: whole.l2Tables },
    ...mapped,
    encryptionBytes: encryption?.headerBytes ?? 0,
  });
  return { parameters, layout, header: headerFor(parameters, layout), encryption };
}

async function planEncryption(
  parameters: CreateParameters,
  graph: BlockGraph | undefined,
): Promise<PlannedEncryption> {
  assert(graph, 'whoever makes encrypted images has a graph, for the secrets');
  const part = await loadPart(graph.platform, () => import('../live/encryption.ts'));
  return part.planEncryption(graph, parameters);
}

async function writeImage(
  file: NewImageFile,
  { parameters, layout, header, encryption }: PlannedImage,
): Promise<void> {
  await writeTables(file, layout, parameters.preallocation);
  await encryption?.write(file, layout.encryptionOffset);
  await file.flush();
  await file.write(0, header);
  await file.flush();
}

function headerFor(parameters: CreateParameters, layout: ImageLayout): Uint8Array {
  const { backingFile, backingFormat } = parameters;
  const context = `Could not assign backing file '${backingFile}' with format '${backingFormat ?? '(null)'}'`;
  let backingFileName: Uint8Array | undefined;
  try {
    backingFileName = encodeBackingName(backingFile);
  } catch (error) {
    throw new BlockError('EINVAL', `${context}: Invalid argument`, { cause: error });
  }
  try {
    return serializeNewHeader({ ...parameters, backingFileName }, layout);
  } catch (error) {
    if (!(error instanceof BlockError) || backingFileName === undefined) throw error;
    throw error.within(context);
  }
}
