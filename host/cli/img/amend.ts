/**
 * `img amend`: changes what can be changed of an image by options of its format (specification: cli, section 2). What
 * these are and what they mean, the format says (block/driver.ts, AmendDefinition).
 */
import { asBlockError, invalid } from '../../base/errors.ts';
import { bitmapsOf } from '../../bitmaps/node-bitmaps.ts';
import type { BlockBackend } from '../../block/backend.ts';
import { checkDiskLength } from '../../block/disk-length.ts';
import type { AmendDefinition, CreateOption, CreateValues, DriverDefinition } from '../../block/driver.ts';
import type { BlockNode } from '../../block/node.ts';
import { type OptionPair, OptionValues, parseQemuOpts } from '../../qapi/qemu-opts.ts';
import { openImage } from '../shared/open-image.ts';
import { Progress } from '../shared/progress.ts';
import type { Tool } from '../shared/tool.ts';
import { addOptionList, describeOptions, isHelpWanted, optionValues } from './creation-options.ts';
import { checkImageOpts, common, parseCacheOption, readCommandLine } from './options.ts';

/** Its options, beside `--help`. */
export const specs = [
  common.quiet,
  common.progress,
  common.object,
  common.format,
  { short: 't', long: 'cache', argument: true },
  { short: 'o', long: 'options', argument: true },
  common.imageOpts,
  { long: 'force' },
];

const progressStep = 1;

export async function run(tool: Tool, argv: string[]): Promise<number> {
  let format: string | undefined;
  let imageOpts = false;
  let quiet = false;
  let showProgress = false;
  let cacheName = 'writeback';
  let list: string | undefined;
  let force = false;
  const operands = await readCommandLine(tool, argv, specs, ({ name, value }) => {
    if (name === 'format') format = value;
    else if (name === 'image-opts') imageOpts = true;
    else if (name === 'quiet') quiet = true;
    else if (name === 'progress') showProgress = true;
    else if (name === 'cache') cacheName = value;
    else if (name === 'options') list = addOptionList(tool, list, value);
    else force = true;
  });
  const options = list ?? tool.failUsage('Must specify options (-o)');
  const progress = new Progress(tool, showProgress && !quiet, progressStep);
  try {
    const [filename, extra] = operands;
    const graph = await tool.createGraph();
    if (filename === undefined && format !== undefined && isHelpWanted(options)) {
      const definition = graph.drivers.find(format) ?? tool.fail(`Unknown file format '${format}'`);
      return await printAmendOptions(tool, definition);
    }
    if (filename === undefined || extra !== undefined) tool.fail('Expecting one image file name');
    const cache = parseCacheOption(tool, cacheName, `Invalid cache option: ${cacheName}`);
    checkImageOpts(tool, imageOpts, format);
    const source = { name: filename, imageOpts, format };
    const image = await openImage(tool, graph, source, { write: true, resize: true, cache });
    try {
      await amendImage(tool, image, { list: options, force }, progress);
    } finally {
      await tool.close([image]);
    }
    return 0;
  } finally {
    progress.finish();
  }
}

async function amendImage(
  tool: Tool,
  image: BlockBackend,
  { list, force }: { list: string; force: boolean },
  progress: Progress,
): Promise<void> {
  // A filter is not looked through.
  const { definition } = image.node;
  if (isHelpWanted(list)) return void (await printAmendOptions(tool, definition));
  const amend = definitionOf(tool, definition);
  const known = await amend.imageOptions();
  const { values, size } = await tool.attempt(async () => readValues(definition, known, list));
  progress.begin();
  const report = (done: number): void => progress.set(done * 100);
  await tool.attempt(() => change(image, amend, { values, size, force }, report));
  progress.set(100);
}

function definitionOf(tool: Tool, { name, amend }: DriverDefinition): AmendDefinition {
  return amend ?? tool.fail(`Format driver '${name}' does not support option amendment`);
}

async function printAmendOptions(tool: Tool, definition: DriverDefinition): Promise<number> {
  const imageOptions = await definitionOf(tool, definition).imageOptions();
  tool.out(`Amend options for '${definition.name}':\n${describeOptions(imageOptions)}`);
  return 0;
}

interface Wanted {
  values: CreateValues;
  /** The one among them, with all its digits. */
  size: bigint | undefined;
  /** Also what may lose all data. */
  force: boolean;
}

/** Errors: in the words of QemuOpts; what only a new image can have. */
function readValues(
  { create }: DriverDefinition,
  known: readonly CreateOption[],
  list: string,
): Omit<Wanted, 'force'> {
  const { pairs } = parseQemuOpts(list);
  for (const pair of pairs) {
    // In the order in which they are written.
    if (known.some(({ name }) => name === pair.name)) {
      optionValues([pair], known);
      continue;
    }
    const isForNewImages = isValid(pairs, create?.options ?? []);
    throw invalid(
      `Invalid parameter '${pair.name}'`,
      isForNewImages ? 'This option is only supported for image creation' : undefined,
    );
  }
  const size = new OptionValues(pairs, known).exactNumber('size');
  return { values: optionValues(pairs, known), size };
}

function isValid(pairs: readonly OptionPair[], known: readonly CreateOption[]): boolean {
  try {
    optionValues(pairs, known);
    return true;
  } catch (error) {
    asBlockError(error);
    return false;
  }
}

async function change(
  image: BlockBackend,
  amend: AmendDefinition,
  { values, size, force }: Wanted,
  report: (done: number) => void,
): Promise<void> {
  const plan = await amend.plan(image, values, { force });
  if (size !== undefined) checkDiskLength(size);
  if (plan.dropsBitmaps) await removeBitmaps(image.node);
  await plan.apply(report);
}

async function removeBitmaps(node: BlockNode): Promise<void> {
  const bitmaps = bitmapsOf(node);
  for (const bitmap of [...bitmaps]) {
    await bitmaps.removeStored(bitmap);
    bitmaps.remove(bitmap);
  }
}
