/**
 * `img measure`: how large the file of a new image becomes, empty or as a copy of another (specification: cli, section 2).
 */
import { BlockError, invalid } from '../../base/errors.ts';
import { sectorBytes } from '../../base/sectors.ts';
import { creationOptions } from '../../block/create.ts';
import type { CreateOption, CreateValues } from '../../block/driver.ts';
import type { BlockGraph } from '../../block/graph.ts';
import type { BlockNode } from '../../block/node.ts';
import { volumeHeaderBytes } from '../../crypto/luks/new-volume.ts';
import { parseNewVolume } from '../../crypto/luks/parse-options.ts';
import { type Measured, measureQcow2 } from '../../formats/qcow2/create/measure.ts';
import { formatPrettyJson } from '../../qapi/json-output.ts';
import { openImage } from '../shared/open-image.ts';
import { loadSnapshot, parseSnapshotParam, type SnapshotParam } from '../shared/snapshot-param.ts';
import type { Tool } from '../shared/tool.ts';
import { addOptionList, readCreateValues } from './creation-options.ts';
import {
  checkImageOpts,
  common,
  type OutputFormat,
  parseExactSizeOption,
  parseOutputFormat,
  readCommandLine,
} from './options.ts';

/** Its options, beside `--help`. */
export const specs = [
  { short: 'O', long: 'target-format', argument: true },
  common.format,
  common.imageOpts,
  { short: 'o', long: 'options', argument: true },
  { short: 'l', long: 'snapshot', argument: true },
  common.object,
  common.output,
  { long: 'size', argument: true },
  common.forceShare,
];

type Measure = (values: CreateValues, size: bigint, source: BlockNode | undefined) => Promise<Measured>;

/** What is asked of a format here only: the drivers, which pages load, do without it. */
const measures: Readonly<Record<string, Measure>> = {
  raw: measureRaw,
  qcow2: measureQcow2,
  luks: measureLuks,
};

async function measureRaw(_values: CreateValues, size: bigint): Promise<Measured> {
  return { required: size, fullyAllocated: size };
}

async function measureLuks(values: CreateValues, size: bigint): Promise<Measured> {
  const bytes = size + BigInt(volumeHeaderBytes(parseNewVolume(values, '')));
  return { required: bytes, fullyAllocated: bytes };
}

interface Wanted {
  format: string | undefined;
  imageOpts: boolean;
  forceShare: boolean;
  snapshot: SnapshotParam | undefined;
  outputFormat: string;
  /** The text of all `-o`. */
  creation: string | undefined;
  size: bigint | undefined;
  output: OutputFormat;
}

export async function run(tool: Tool, argv: string[]): Promise<number> {
  const wanted: Wanted = {
    format: undefined,
    imageOpts: false,
    forceShare: false,
    snapshot: undefined,
    outputFormat: 'raw',
    creation: undefined,
    size: undefined,
    output: 'human',
  };
  const operands = await readCommandLine(tool, argv, specs, ({ name, value }) => {
    if (name === 'format') wanted.format = value;
    else if (name === 'image-opts') wanted.imageOpts = true;
    else if (name === 'force-share') wanted.forceShare = true;
    else if (name === 'snapshot') wanted.snapshot = parseSnapshotParam(tool, value);
    else if (name === 'target-format') wanted.outputFormat = value;
    else if (name === 'options') wanted.creation = addOptionList(tool, wanted.creation, value);
    else if (name === 'size') wanted.size = parseExactSizeOption(tool, 'image size', value);
    else wanted.output = parseOutputFormat(tool, value);
  });
  const [filename, extra] = operands;
  if (extra !== undefined) tool.fail('At most one filename argument is allowed.');
  checkSource(tool, wanted, filename);
  const graph = await tool.createGraph();
  const { size } = wanted;
  // Where there is no file name there is a size.
  const measured = await (filename === undefined
    ? measureTarget(tool, graph, wanted, { bytes: size! })
    : measureImage(tool, graph, wanted, filename));
  tool.out(wanted.output === 'json' ? json(measured) : human(measured));
  return 0;
}

function checkSource(tool: Tool, wanted: Wanted, filename: string | undefined): void {
  const { imageOpts, format, snapshot, size } = wanted;
  if (filename === undefined && (imageOpts || format !== undefined || snapshot)) {
    tool.fail('--image-opts, -f, and -l require a filename argument.');
  }
  if (filename === undefined && size === undefined) {
    tool.fail('Either --size N or one filename must be specified.');
  }
  if (filename !== undefined && size !== undefined) {
    tool.fail('--size N cannot be used together with a filename.');
  }
  checkImageOpts(tool, imageOpts, format);
}

async function measureImage(tool: Tool, graph: BlockGraph, wanted: Wanted, name: string): Promise<Measured> {
  const { imageOpts, format, forceShare, snapshot } = wanted;
  const image = await openImage(tool, graph, { name, imageOpts, format }, { forceShare });
  try {
    if (snapshot) await tool.attempt(() => loadSnapshot(image.node, snapshot));
    return await measureTarget(tool, graph, wanted, { bytes: BigInt(image.length), source: image.node });
  } finally {
    await image.close();
  }
}

interface Disk {
  bytes: bigint;
  /** What is to be copied. */
  source?: BlockNode;
}

async function measureTarget(
  tool: Tool,
  graph: BlockGraph,
  { outputFormat, creation }: Wanted,
  { bytes, source }: Disk,
): Promise<Measured> {
  const driver = graph.drivers.find(outputFormat) ?? tool.fail(`Unknown file format '${outputFormat}'`);
  if (!driver.create) tool.fail(`Format driver '${outputFormat}' does not support image creation`);
  // As for a file, wherever the image is to be.
  const options = creationOptions(driver, graph.drivers.get('file'));
  const values = readValues(tool, options, outputFormat, creation ?? '');
  return tool.attempt(async () => {
    const measure = Object.hasOwn(measures, outputFormat) ? measures[outputFormat] : undefined;
    if (!measure) throw invalid(`Block driver '${outputFormat}' does not support size measurement`);
    return measure(values, wholeSectors(bytes), source);
  });
}

function readValues(
  tool: Tool,
  options: readonly CreateOption[],
  format: string,
  list: string,
): CreateValues {
  try {
    return readCreateValues(options, list);
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
    tool.reportError(error);
    return tool.fail(`Invalid options for file format '${format}'`);
  }
}

function human({ required, fullyAllocated, bitmaps }: Measured): string {
  const lines = [`required size: ${required}`, `fully allocated size: ${fullyAllocated}`];
  if (bitmaps !== undefined) lines.push(`bitmaps size: ${bitmaps}`);
  return `${lines.join('\n')}\n`;
}

function json({ required, fullyAllocated, bitmaps }: Measured): string {
  // As QEMU's own, these numbers have a sign.
  const sizes = {
    required: BigInt.asIntN(64, required),
    'fully-allocated': BigInt.asIntN(64, fullyAllocated),
  };
  return `${formatPrettyJson(bitmaps === undefined ? sizes : { bitmaps, ...sizes })}\n`;
}

function wholeSectors(bytes: bigint): bigint {
  const unit = BigInt(sectorBytes);
  return ((bytes + unit - 1n) / unit) * unit;
}
