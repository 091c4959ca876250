/**
 * Making new images: what `img create`, drive-backup and snapshots share (specification: cli, section 2, create;
 * transactions, section 4).
 *
 * Options are checked against what the format and the protocol list, the backing file is looked at for its size and
 * format, the `Formatting …` line is printed, and then the format writes its empty image. Errors carry the file name
 * in front only where QEMU does.
 */
import { asBlockError, BlockError, invalid } from '../base/errors.ts';
import { sectorBytes, wholeSectors } from '../base/sectors.ts';
import { withoutUndefined } from '../base/without-undefined.ts';
import { BlockBackend } from './backend.ts';
import { checkDiskLength } from './disk-length.ts';
import type { CreateOption, CreatePlace, CreateValues, DriverDefinition } from './driver.ts';
import { resolveAgainst } from './filename.ts';
import type { BlockGraph } from './graph.ts';
import type { BlockNode } from './node.ts';
import { Perm } from './permissions.ts';

/** An image to be made, as `img create` is told. */
export interface CreateImageParams {
  filename: string;
  format: string;
  /** Values of creation options, already of the right type, without those below. */
  values?: CreateValues;
  /** Those of the numbers among them that a double does not hold, as the `Formatting …` line has them. */
  exact?: Readonly<Record<string, bigint>>;
  /** Bytes; may be left out when a backing file gives it. */
  size?: number;
  backingFile?: string;
  backingFormat?: string;
  /** Do not look at the backing file. */
  unsafe?: boolean;
  /** Print no `Formatting …` line. */
  quiet?: boolean;
}

/** Makes the image. Errors: BlockError; a file that was made or emptied for it is gone then. */
export async function createImage(graph: BlockGraph, params: CreateImageParams): Promise<void> {
  const { filename, format } = params;
  const driver = graph.drivers.find(format);
  if (!driver) throw invalid(`Unknown file format '${format}'`);
  const protocol =
    driver.kind === 'protocol' ? driver : await graph.drivers.protocolFor(graph.platform.files, filename);
  if (!driver.create) throw invalid(`Format driver '${format}' does not support image creation`);
  if (!protocol.create?.createFile) {
    throw invalid(`Protocol driver '${protocol.name}' does not support image creation`);
  }
  const options = creationOptions(driver, protocol);
  const values = await completeValues(graph, driver, options, params);
  if (params.quiet !== true)
    graph.platform.console.stdout(formattingLine(filename, format, options, { ...values, ...params.exact }));
  const { size: bytes, backing_fmt: backingFormat } = values;
  if (backingFormat !== undefined && !graph.drivers.find(String(backingFormat))) {
    throw invalid(`Parameter 'backing-fmt' does not accept value '${backingFormat}'`);
  }
  const size = wholeSectors(bytes as number);
  const exactBytes = params.exact?.['size'] ?? BigInt(bytes as number);
  try {
    await formatFile(graph, driver, protocol, filename, { ...values, size });
  } catch (error) {
    throw sizeError(error, driver, exactBytes);
  }
}

/** Takes away an image that `createImage` made. What cannot be, a device for one, stays. */
export async function removeImage(graph: BlockGraph, filename: string): Promise<void> {
  const protocol = await graph.drivers.protocolFor(graph.platform.files, filename);
  await protocol.create?.removeFile?.(graph.platform, pathOf(protocol, filename));
}

/** The part of a name that is for the protocol. */
export function pathOf(protocol: DriverDefinition, filename: string): string {
  return (protocol.parseFilename?.(filename) as { filename?: string } | undefined)?.filename ?? filename;
}

/** What `-o help` lists: the format's options, then those of the protocol that it does not have itself. */
export function creationOptions(driver: DriverDefinition, protocol: DriverDefinition): CreateOption[] {
  const own = driver.create?.options ?? [];
  const names = new Set(own.map((option) => option.name));
  return [...own, ...(protocol.create?.options ?? []).filter((option) => !names.has(option.name))];
}

async function completeValues(
  graph: BlockGraph,
  driver: DriverDefinition,
  options: readonly CreateOption[],
  params: CreateImageParams,
): Promise<CreateValues> {
  const values: Record<string, string | number | boolean | undefined> = { ...params.values };
  for (const name of Object.keys(values)) {
    if (!options.some((option) => option.name === name)) throw invalid(`Invalid parameter '${name}'`);
  }
  if (params.size !== undefined) values['size'] = params.size;
  const backingFile = params.backingFile ?? (values['backing_file'] as string | undefined);
  const backingFormat = params.backingFormat ?? (values['backing_fmt'] as string | undefined);
  if (backingFile !== undefined) {
    if (!options.some((option) => option.name === 'backing_file')) {
      throw invalid(`Backing file not supported for file format '${driver.name}'`);
    }
    values['backing_file'] = backingFile;
    if (backingFile === '') throw invalid('Expected backing file name, got empty string');
    if (backingFile === params.filename) {
      throw invalid('Error: Trying to create an image with the same filename as the backing file');
    }
  }
  if (backingFormat !== undefined) {
    if (!options.some((option) => option.name === 'backing_fmt')) {
      throw invalid(`Backing file format not supported for file format '${driver.name}'`);
    }
    values['backing_fmt'] = backingFormat;
  }
  if (backingFile !== undefined && params.unsafe === true && backingFormat === undefined) {
    throw invalid('Backing file specified without backing format');
  }
  if (backingFile !== undefined && params.unsafe !== true) {
    const backing = await inspectBacking(graph, params.filename, backingFile, backingFormat);
    values['size'] ??= backing.length;
  }
  if (values['size'] === undefined) throw invalid('Image creation needs a size parameter');
  for (const option of options) {
    if (values[option.name] === undefined && option.default !== undefined) {
      values[option.name] = defaultValue(option);
    }
  }
  return values;
}

function defaultValue(option: CreateOption): string | number | boolean {
  const text = option.default!; // asked only for those that have one
  switch (option.type) {
    case 'bool':
      return text === 'on';
    case 'size':
    case 'number':
      return Number(text);
    case 'string':
      return text;
  }
}

async function inspectBacking(
  graph: BlockGraph,
  filename: string,
  backingFile: string,
  format: string | undefined,
): Promise<{ length: number }> {
  if (filename === '') throw invalid("Cannot use relative backing file names for ''");
  const path = resolveAgainst(filename, backingFile);
  let found: { length: number; format: string };
  try {
    const node = await graph.openFile(path, {
      ...withoutUndefined({ format }),
      // It may be in use, by ourselves even: its content is not looked at.
      flags: { readOnly: true, forceShare: true },
    });
    found = { length: node.length, format: node.definition.name };
    await graph.unref(node);
  } catch (error) {
    const failure = asBlockError(error);
    throw new BlockError(failure.errno, failure.message, {
      hint: 'Could not open backing image.',
      cause: failure,
    });
  }
  if (format === undefined) {
    throw invalid('Backing file specified without backing format', `Detected format of ${found.format}.`);
  }
  return found;
}

/** `Formatting 'a.qcow2', fmt=qcow2 cluster_size=65536 …` */
function formattingLine(
  filename: string,
  format: string,
  options: readonly CreateOption[],
  values: Readonly<Record<string, CreateValues[string] | bigint>>,
): string {
  const shown = options
    .filter((option) => values[option.name] !== undefined)
    .map((option) => ` ${option.name}=${formatValue(values[option.name]!)}`);
  return `Formatting '${filename}', fmt=${format}${shown.join('')}`;
}

function formatValue(value: string | number | bigint | boolean): string {
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  if (typeof value === 'string') return value.replaceAll(',', ',,');
  return String(BigInt(value));
}

async function formatFile(
  graph: BlockGraph,
  driver: DriverDefinition,
  protocol: DriverDefinition,
  filename: string,
  values: CreateValues,
): Promise<void> {
  const createFile = protocol.create!.createFile!; // checked by the caller, as what follows of `driver`
  const path = pathOf(protocol, filename);
  if (!driver.create!.createImage) {
    await createFile(graph.platform, path, values);
    return;
  }
  await driver.create!.checkValues?.(values, graph);
  await createFile(graph.platform, path, { size: 0 });
  try {
    await writeInto(graph, { filename, format: protocol.name }, (node) =>
      writeImage(driver, node, values, { graph, filename, protocol }),
    );
  } catch (error) {
    await protocol.create!.removeFile?.(graph.platform, path); // it has made the file
    throw error;
  }
}

/** Opens a file that was made, to be written. */
export async function writeInto(
  graph: BlockGraph,
  { filename, format }: { filename: string; format: string },
  write: (node: BlockNode) => Promise<void>,
): Promise<void> {
  const node = await graph.openFile(filename, { format, flags: { discard: true } });
  try {
    await write(node);
  } finally {
    await graph.unref(node);
  }
}

/** The error, in words of its own when the size, of `bytes` as given, was too much. */
function sizeError(error: unknown, { name, create }: DriverDefinition, bytes: bigint): BlockError {
  const known = asBlockError(error);
  if (known.errno !== 'EFBIG') return known;
  const sector = BigInt(sectorBytes);
  const length = ((bytes + sector - 1n) / sector) * sector;
  const isBare = create?.createImage === undefined;
  if (isBare && BigInt.asIntN(64, length) < 0n)
    return new BlockError('EINVAL').within('Could not resize file');
  const hasClusters = create?.options.some(({ name: option }) => option === 'cluster_size') === true;
  if (hasClusters) {
    try {
      checkDiskLength(length);
    } catch (refusal) {
      return asBlockError(refusal).within('Could not resize image');
    }
  }
  const advice = hasClusters ? ' (try using a larger cluster size)' : '';
  return new BlockError('EFBIG', `The image size is too large for file format '${name}'${advice}`, {
    cause: error,
  });
}

/** Writes an empty image into `node`. */
export async function writeImage(
  driver: DriverDefinition,
  node: BlockNode,
  values: CreateValues,
  place: CreatePlace,
): Promise<void> {
  await writeNewFile(node, (file) => driver.create!.createImage!(file, values, place));
}

/** Has `write` fill a file, which may become longer. */
export async function writeNewFile(
  node: BlockNode,
  write: (file: BlockBackend) => Promise<void>,
): Promise<void> {
  const file = await BlockBackend.attach(node, {
    name: 'root',
    description: 'an unnamed block device',
    perm: Perm.consistentRead | Perm.write | Perm.resize,
    shared: Perm.all,
  });
  file.allowWriteBeyondEnd = true;
  try {
    await write(file);
  } finally {
    await file.close();
  }
}

/** As an option has it: the name of a node, or the options of one. */
export type GivenNode = string | Readonly<Record<string, unknown>>;

/** With a reference for the caller. */
export async function openGiven(graph: BlockGraph, given: GivenNode): Promise<BlockNode> {
  if (typeof given !== 'string') return graph.open(given, { discard: true });
  const node = graph.lookup(given, given);
  node.ref();
  return node;
}
