/**
 * `img convert`: copies one disk, or several one after the other, into an image of any format (specification: cli,
 * section 2). Here are the two ends; the options are read in convert-options.ts, the data are copied in convert-copy.ts,
 * the bitmaps in convert-bitmaps.ts.
 *
 * Ours: with `--atomic` the target is written under another name in the same folder, and takes its own when it is complete.
 */
import { asBlockError, invalid } from '../../base/errors.ts';
import { withoutUndefined } from '../../base/without-undefined.ts';
import type { BlockBackend } from '../../block/backend.ts';
import { createImage, removeImage } from '../../block/create.ts';
import type { CreateValues } from '../../block/driver.ts';
import { filenameOf } from '../../block/filename.ts';
import type { BlockGraph } from '../../block/graph.ts';
import type { BlockNode } from '../../block/node.ts';
import type { NodeOptions } from '../../block/options.ts';
import { startsAsZeros } from '../../block/status.ts';
import { fileExists } from '../../platform/node/file-exists.ts';
import { AtomicFile } from '../shared/atomic-file.ts';
import type { CacheMode } from '../shared/cache-mode.ts';
import { type ImageSource, openBackend, openImage } from '../shared/open-image.ts';
import { Progress } from '../shared/progress.ts';
import { loadSnapshot } from '../shared/snapshot-param.ts';
import type { Tool } from '../shared/tool.ts';
import { bitmapsToCopy, copyBitmaps, requireBitmapPlace } from './convert-bitmaps.ts';
import { ConvertCopy, type SourceSettings } from './convert-copy.ts';
import { type ConvertOptions, readConvertOptions } from './convert-options.ts';
import { convertCreationOptions, isHelpWanted, printCreationOptions } from './creation-options.ts';
import { checkImageOpts, parseCacheOption } from './options.ts';

export { specs } from './convert-options.ts';

const progressStep = 1;

export async function run(tool: Tool, argv: string[]): Promise<number> {
  const given = await readConvertOptions(tool, argv);
  const { operands, sourceCacheName } = given;
  const outputFormat = given.outputFormat ?? 'raw';
  const target = operands.length > 1 ? operands[operands.length - 1] : undefined;
  if (given.creation !== undefined && isHelpWanted(given.creation)) {
    return printCreationOptions(tool, await tool.createGraph(), outputFormat, target);
  }
  if (target === undefined) tool.fail('Must specify image file name');
  const cacheError = `Invalid source cache option: ${sourceCacheName}`;
  const options = { ...given, sourceCache: parseCacheOption(tool, sourceCacheName, cacheError) };
  const graph = await tool.createGraph();
  if (!options.atomic) return convert(tool, graph, options, { name: target, path: target });
  const file = await createAtomicFile(tool, graph, options, target);
  try {
    const status = await convert(tool, graph, options, { name: target, path: file.path });
    await tool.attempt(() => file.commit());
    return status;
  } finally {
    file.discard();
  }
}

/** Errors are told in the words that there are without it. */
function createAtomicFile(
  tool: Tool,
  graph: BlockGraph,
  { operands, imageOpts, outputFormat = 'raw' }: ConvertOptions,
  target: string,
): Promise<AtomicFile> {
  const make = async (): Promise<AtomicFile> => {
    const protocol = await graph.drivers.protocolFor(graph.platform.files, target);
    if (!protocol.servesPlainNames) throw invalid(`--atomic is for files, not for '${protocol.name}'`);
    const parsed = protocol.parseFilename?.(target) as { filename?: string } | undefined;
    const path = parsed?.filename ?? target;
    // Whoever uses it would go on with the file that has lost the name.
    const isSource = !imageOpts && operands.slice(0, -1).includes(target);
    if (!isSource && fileExists(path)) {
      const source: ImageSource = { name: target, format: 'raw' };
      const old = await openBackend(graph, source, { write: true, resize: true }, tool);
      await old.close();
    }
    return new AtomicFile(path);
  };
  return tool.attempt(make, { context: `${target}: error while converting ${outputFormat}` });
}

type Settings = ConvertOptions & { sourceCache: CacheMode };

interface Target {
  /** As it was given. */
  name: string;
  /** Where it is written. */
  path: string;
}

async function convert(tool: Tool, graph: BlockGraph, options: Settings, target: Target): Promise<number> {
  const { outputFormat = 'raw' } = options;
  const progress = new Progress(tool, options.progress && !options.quiet, progressStep).begin();
  const opened: BlockBackend[] = [];
  // There is a new image, which half a copy does not make one to keep.
  let isUnfinished = false;
  const files = [target.path];
  try {
    const sources = await openSources(tool, graph, options, opened);
    const totalBytes = sources.reduce((sum, { length }) => sum + length, 0);
    const creation = await prepareCreation(tool, graph, options, target, totalBytes, sources.length);
    const copying = copySettings(tool, graph, options, sources, progress);
    const protocol = creation && (await graph.drivers.protocolFor(graph.platform.files, target.path));
    if (creation && protocol?.create?.beginFile) {
      const { convertInOrder } = await import('./convert-in-order.ts');
      await convertInOrder(tool, graph, { options, creation, protocol, copying });
      progress.set(100);
      return 0;
    }
    const bitmaps = options.bitmaps ? chooseBitmaps(tool, options, sources) : undefined;
    const cache = parseCacheOption(tool, options.cacheName, `Invalid cache option: ${options.cacheName}`);
    if (creation) {
      await tool.attempt(() => createImage(graph, creation), {
        context: `${target.name}: error while converting ${outputFormat}`,
      });
    }
    isUnfinished = creation !== undefined;
    const image = await openTarget(
      tool,
      graph,
      options,
      { name: target.path, values: creation?.values },
      cache,
    );
    opened.push(image);
    files.push(...furtherFiles(image.node));
    if (options.atomic && files.length > 1) tool.fail('--atomic makes one file, and this image has several');
    if (bitmaps) requireBitmapPlace(tool, image.node);
    if (options.compressed && !image.node.driver.writeCompressed) {
      tool.fail('Compression not supported for this file format');
    }
    if (!creation && image.length < totalBytes) tool.fail('output file is smaller than input file');
    const hasBacking = (options.backingFile ?? creation?.values.backing_file) !== undefined;
    const copy = new ConvertCopy({
      ...copying,
      compressed: copying.compressed || image.node.driver.needsCompressedWrites === true,
      target: image,
      targetName: image.node.name,
      clusterBytes: image.node.driver.info?.().clusterBytes ?? 0,
      isOrdered: false,
      targetIsNew: creation !== undefined,
      targetIsZero:
        options.targetIsZero || (creation !== undefined && !hasBacking && (await startsAsZeros(image.node))),
      backingLength: hasBacking ? (image.node.backing()?.length ?? Number.POSITIVE_INFINITY) : undefined,
    });
    await tool.attempt(() => copy.run());
    await tool.attempt(() => image.flush());
    if (bitmaps) await copyBitmaps(tool, bitmaps, image.node);
    isUnfinished = false;
    progress.set(100);
    return 0;
  } finally {
    progress.finish();
    if (isUnfinished) await discard(graph, opened, files);
    else await tool.close(opened);
  }
}

/** Whatever the target is. */
function copySettings(
  tool: Tool,
  graph: BlockGraph,
  options: Settings,
  sources: readonly BlockBackend[],
  progress: Progress,
): SourceSettings {
  return {
    sources,
    sparseBytes: options.sparseBytes,
    compressed: options.compressed,
    workers: options.workers,
    outOfOrder: options.outOfOrder,
    rateLimit: options.rateLimit,
    salvage: options.salvage,
    offload: options.offload,
    clock: graph.platform.clock,
    warn: (message) => options.quiet || tool.warn(message),
    progress,
    plansAhead: options.progress && !options.quiet,
  };
}

/** All that is open is in `opened`, whatever happens. */
async function openSources(
  tool: Tool,
  graph: BlockGraph,
  options: Settings,
  opened: BlockBackend[],
): Promise<readonly BlockBackend[]> {
  const { operands, snapshot } = options;
  for (const name of operands.slice(0, -1)) opened.push(await openSource(tool, graph, options, name));
  const sources = [...opened];
  if (snapshot) {
    if ('idOrName' in snapshot && sources.length > 1)
      tool.fail('No support for concatenating multiple snapshot');
    await tool.attempt(() => loadSnapshot(sources[0]!.node, snapshot)); // there is one at the least
  }
  return sources;
}

function chooseBitmaps(
  tool: Tool,
  { skipBrokenBitmaps }: ConvertOptions,
  sources: readonly BlockBackend[],
): ReturnType<typeof bitmapsToCopy> {
  const [source, other] = sources;
  if (other) tool.fail('Copying bitmaps only possible with single source');
  return bitmapsToCopy(tool, source!.node, skipBrokenBitmaps); // there is one at the least
}

/** Closes all, and takes the target away: what goes wrong with an image that goes is nobody's concern. */
async function discard(graph: BlockGraph, opened: BlockBackend[], files: readonly string[]): Promise<void> {
  for (const image of opened.reverse()) await image.close().catch(asBlockError);
  for (const file of files) await removeImage(graph, file);
}

/** What an image is made of beside its own file. */
function furtherFiles({ children, namedFiles }: BlockNode): string[] {
  const named = [...children.values()].filter(({ name }) => namedFiles.has(name));
  return named.map(({ node }) => filenameOf(node));
}

export interface Creation {
  filename: string;
  format: string;
  size: number;
  values: CreateValues;
  quiet: true;
  unsafe: true;
  backingFile?: string;
  backingFormat?: string;
}

/** What to create, all checked; undefined when the target exists already (`-n`). */
async function prepareCreation(
  tool: Tool,
  graph: BlockGraph,
  options: ConvertOptions,
  target: Target,
  totalBytes: number,
  sourceCount: number,
): Promise<Creation | undefined> {
  const format = options.outputFormat ?? 'raw';
  const { name, path: filename } = target;
  let creation: Creation | undefined;
  if (!options.skipCreate) {
    creation = await tool.attempt(async () => {
      const list = options.creation ?? '';
      // The new image is as long as what goes into it, whatever the list says.
      const { size: _ignored, ...values } = await convertCreationOptions(graph, { filename, format, list });
      return {
        filename,
        format,
        size: totalBytes,
        values,
        quiet: true,
        unsafe: true,
        ...withoutUndefined({ backingFile: options.backingFile, backingFormat: options.backingFormat }),
      };
    });
    const definition = graph.drivers.get(format);
    const backing = creation.backingFile ?? creation.values.backing_file;
    if (backing === name && filename !== name) {
      const same = 'Error: Trying to create an image with the same filename as the backing file';
      tool.fail(`${name}: error while converting ${format}: ${same}`);
    }
    if (backing !== undefined && !definition.supportsBacking) {
      tool.fail(`Backing file not supported for file format '${format}'`);
    }
    if (creation.backingFormat !== undefined && !definition.supportsBacking) {
      tool.fail(`Backing file format not supported for file format '${format}'`);
    }
    if (options.backingFile !== undefined) checkBacking(tool, options, sourceCount);
    if (backing !== undefined && (creation.backingFormat ?? creation.values.backing_fmt) === undefined) {
      tool.fail('Use of backing file requires explicit backing format');
    }
    if (backing !== undefined) checkBacking(tool, options, sourceCount);
    if (options.compressed && !definition.create?.createImage) {
      tool.fail('Compression not supported for this file format');
    }
    if (options.compressed && (creation.values['preallocation'] ?? 'off') !== 'off') {
      tool.fail('Compression and preallocation not supported at the same time');
    }
    const { encryption, 'encrypt.format': encryptionFormat } = creation.values;
    if (options.compressed && (encryption === true || encryptionFormat !== undefined)) {
      tool.fail('Compression and encryption not supported at the same time');
    }
  }
  if (options.backingFile !== undefined) checkBacking(tool, options, sourceCount);
  return creation;
}

function checkBacking(tool: Tool, options: ConvertOptions, sourceCount: number): void {
  if (sourceCount > 1) {
    tool.fail('Having a backing file for the target makes no sense when concatenating multiple input images');
  }
  if (options.targetIsZero) {
    tool.fail('Cannot use --target-is-zero when the destination image has a backing file');
  }
}

function openSource(
  tool: Tool,
  graph: BlockGraph,
  { imageOpts, format, sourceCache: cache, forceShare }: Settings,
  name: string,
): Promise<BlockBackend> {
  checkImageOpts(tool, imageOpts, format);
  return openImage(tool, graph, { name, imageOpts, format }, { cache, forceShare, exclusive: true });
}

function openTarget(
  tool: Tool,
  graph: BlockGraph,
  options: ConvertOptions,
  { name, values = {} }: { name: string; values: CreateValues | undefined },
  cache: CacheMode,
): Promise<BlockBackend> {
  const imageOpts = options.targetImageOpts;
  checkImageOpts(tool, imageOpts, options.outputFormat);
  const format = imageOpts ? undefined : (options.outputFormat ?? 'raw');
  return openImage(
    tool,
    graph,
    { name, imageOpts, format },
    {
      write: true,
      // Past the page cache a file may have to become as long as whole units are.
      resize: true,
      cache,
      flags: { discard: options.sparseBytes > 0 },
      override: keysOf(values),
    },
  );
}

/** Options that open an image which was made with these. */
function keysOf(values: CreateValues): NodeOptions {
  return Object.fromEntries(
    Object.entries(values).filter(([name, value]) => /(^|\.)key-secret$/.test(name) && value !== undefined),
  );
}
