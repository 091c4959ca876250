/**
 * `img rebase`: gives an image another backing file, or none (specification: cli, section 2).
 *
 * The safe way copies first what would read differently (rebase-copy.ts), makes that durable, and then changes the
 * header in one step: an interruption leaves the image on its old backing file or on the new one, with the same
 * contents. `-u` changes the header only, and looks at nothing but whether the chain would lead back to the image.
 *
 * What cannot be done is refused before anything is copied; `qemu-img` finds some of that out at the end.
 */
import { asBlockError, BlockError, invalid } from '../../base/errors.ts';
import { BlockBackend } from '../../block/backend.ts';
import { filenameOf, resolveAgainst, resolveBackingName } from '../../block/filename.ts';
import type { BlockGraph } from '../../block/graph.ts';
import type { BlockNode } from '../../block/node.ts';
import { Perm } from '../../block/permissions.ts';
import type { CacheMode } from '../shared/cache-mode.ts';
import { openImage } from '../shared/open-image.ts';
import { Progress } from '../shared/progress.ts';
import type { Tool } from '../shared/tool.ts';
import { findInChain } from './chain-names.ts';
import { checkImageOpts, common, parseCacheOption, readCommandLine } from './options.ts';
import { copyWhatDiffers } from './rebase-copy.ts';

/** Its options, beside `--help`. */
export const specs = [
  common.quiet,
  common.progress,
  common.object,
  common.imageOpts,
  common.forceShare,
  common.format,
  { short: 't', long: 'cache', argument: true },
  { short: 'c', long: 'compress' },
  { short: 'b', long: 'backing', argument: true },
  { short: 'F', long: 'backing-format', argument: true },
  { short: 'T', long: 'backing-cache', argument: true },
  { short: 'u', long: 'backing-unsafe' },
];

const progressStep = 1;

/** As QEMU's messages name the backing file that nobody has named. */
const unnamed = '(null)';

/** The backing file that the image is to have. */
interface NewBacking {
  /** As the header will have it; empty: none. */
  name: string;
  shownName: string;
  format: string | undefined;
  cache: CacheMode;
  forceShare: boolean;
}

export async function run(tool: Tool, argv: string[]): Promise<number> {
  let format: string | undefined;
  let imageOpts = false;
  let forceShare = false;
  let showProgress = false;
  let quiet = false;
  let cacheName = 'writeback';
  let backingName: string | undefined;
  let backingFormat: string | undefined;
  let backingCacheName = 'writeback';
  let unsafe = false;
  let compressed = false;
  const operands = await readCommandLine(tool, argv, specs, ({ name, value }) => {
    if (name === 'format') format = value;
    else if (name === 'image-opts') imageOpts = true;
    else if (name === 'force-share') forceShare = true;
    else if (name === 'quiet') quiet = true;
    else if (name === 'progress') showProgress = true;
    else if (name === 'cache') cacheName = value;
    else if (name === 'backing') backingName = value;
    else if (name === 'backing-format') backingFormat = value;
    else if (name === 'backing-cache') backingCacheName = value;
    else if (name === 'backing-unsafe') unsafe = true;
    else compressed = true;
  });
  if (operands.length !== 1) tool.failUsage('Expecting one image file name');
  if (!unsafe && backingName === undefined) {
    tool.failUsage('Must specify backing file (-b) or use unsafe mode (-u)');
  }
  const progress = new Progress(tool, showProgress && !quiet, progressStep).begin();
  try {
    checkImageOpts(tool, imageOpts, format);
    const cache = parseCacheOption(tool, cacheName, `Invalid cache option: ${cacheName}`);
    const backing: NewBacking = {
      name: backingName ?? '',
      shownName: backingName ?? unnamed,
      format: backingFormat,
      cache: parseCacheOption(tool, backingCacheName, `Invalid source cache option: ${backingCacheName}`),
      forceShare,
    };
    const graph = await tool.createGraph({ mayBlock: true });
    const source = { name: operands[0]!, imageOpts, format }; // checked above
    const image = await openImage(tool, graph, source, {
      write: true,
      cache,
      noBacking: unsafe,
      flags: { discard: true },
    });
    try {
      const rebase = { image, backing, compressed, progress };
      if (compressed && !image.node.driver.writeCompressed) {
        tool.fail('Compression not supported for this file format');
      }
      if (backingFormat !== undefined && !graph.drivers.find(backingFormat)) {
        tool.fail(`Invalid format name: '${backingFormat}'`);
      }
      if (unsafe) await checkChange(tool, rebase);
      // Otherwise the lock of the image speaks against opening it again.
      if (backing.name !== '' && (unsafe || forceShare)) await refuseLoop(tool, image.node, backing);
      if (unsafe) await changeBackingFile(tool, rebase);
      else await rebaseSafely(tool, graph, rebase);
    } finally {
      await tool.close([image]);
    }
    progress.set(100);
    return 0;
  } finally {
    progress.finish();
  }
}

interface Rebase {
  image: BlockBackend;
  backing: NewBacking;
  compressed: boolean;
  progress: Progress;
}

async function rebaseSafely(tool: Tool, graph: BlockGraph, rebase: Rebase): Promise<void> {
  const { image, backing, compressed, progress } = rebase;
  const newBacking = backing.name === '' ? undefined : await openNewBacking(tool, graph, image.node, backing);
  try {
    await checkChange(tool, rebase);
    await tool.attempt(async () => {
      await copyWhatDiffers({ image, newBacking, compressed, progress: (percent) => progress.set(percent) });
      // What the old backing file is no longer there for must be safe in the image.
      await image.flush();
    });
    await changeBackingFile(tool, rebase);
  } finally {
    await newBacking?.close();
  }
}

/** The chain must not lead back to the image. */
async function refuseLoop(tool: Tool, node: BlockNode, { name, format }: NewBacking): Promise<void> {
  const image = node.skipFilters();
  const found = await findInChain(image, {
    name: await resolve(tool, () => resolveBackingName(image, name)),
    format,
  });
  if (found !== undefined) tool.fail(`Backing file '${found}' creates an infinite loop.`);
}

/** `path` finds the file of the new name. */
function resolve(tool: Tool, path: () => string): Promise<string> {
  return tool.attempt(async () => path(), { context: 'Could not resolve backing filename' });
}

async function openNewBacking(
  tool: Tool,
  graph: BlockGraph,
  node: BlockNode,
  backing: NewBacking,
): Promise<BlockBackend> {
  // By the text alone, as what opens the image later has it.
  const name = await resolve(tool, () => resolveAgainst(filenameOf(node.skipFilters()), backing.name));
  const { format, cache, forceShare } = backing;
  return tool.attempt(
    async () => {
      const opened = await graph.openFile(name, {
        flags: { ...cache.flags, readOnly: true, forceShare },
        ...(format === undefined ? {} : { format }),
      });
      try {
        const user = { name: 'root', description: 'an unnamed block device' };
        return await BlockBackend.attach(opened, { ...user, perm: Perm.consistentRead, shared: Perm.all });
      } finally {
        await graph.unref(opened);
      }
    },
    { context: `Could not open new backing file '${backing.name}'` },
  );
}

/** Fails where the header could not be changed, whatever was copied. */
function checkChange(tool: Tool, { image, backing: { name, shownName, format } }: Rebase): Promise<void> {
  return tool.attempt(
    async () => {
      if (name !== '' && format === undefined) throw invalid('backing format must be specified');
      if (!image.node.skipFilters().driver.changeBackingFile) throw new BlockError('ENOTSUP');
    },
    { context: `Could not change the backing file to '${shownName}'` },
  );
}

async function changeBackingFile(tool: Tool, rebase: Rebase): Promise<void> {
  const { image, backing } = rebase;
  await checkChange(tool, rebase);
  const name = backing.name === '' ? undefined : backing.name;
  try {
    await image.node.skipFilters().driver.changeBackingFile?.(name, name && backing.format);
  } catch (error) {
    const { errno } = asBlockError(error);
    const reason = errno === 'ENOSPC' ? 'No space left in the file header' : new BlockError(errno).message;
    tool.fail(`Could not change the backing file to '${backing.shownName}': ${reason}`);
  }
}
