/**
 * `img commit`: brings what an image holds into an image below it, and empties it (specification: cli, section 2).
 *
 * An image below that is not the next one is committed to with `-b`; then, as with `-d`, the image keeps what it holds,
 * for those between may be wrong from then on. It is emptied only when the base has everything durably: an
 * interruption at any point leaves its contents as they were.
 */
import type { BlockBackend } from '../../block/backend.ts';
import type { BlockNode } from '../../block/node.ts';
import { commitAndWait, JobFailure } from '../../jobs/commit/commit-and-wait.ts';
import { openImage } from '../shared/open-image.ts';
import { Progress } from '../shared/progress.ts';
import type { Tool } from '../shared/tool.ts';
import { findNamedImage } from './chain-names.ts';
import { checkImageOpts, common, parseCacheOption, parseSizeOption, readCommandLine } from './options.ts';

/** Its options, beside `--help`. */
export const specs = [
  common.quiet,
  common.object,
  common.format,
  common.imageOpts,
  { short: 't', long: 'cache', argument: true },
  { short: 'd', long: 'drop' },
  { short: 'b', long: 'base', argument: true },
  common.progress,
  { short: 'r', long: 'rate', argument: true },
];

const progressStep = 1;

export async function run(tool: Tool, argv: string[]): Promise<number> {
  let format: string | undefined;
  let imageOpts = false;
  let quiet = false;
  let showProgress = false;
  let cacheName = 'writeback';
  let keep = false;
  let baseName: string | undefined;
  let rate = 0;
  const operands = await readCommandLine(tool, argv, specs, ({ name, value }) => {
    if (name === 'format') format = value;
    else if (name === 'image-opts') imageOpts = true;
    else if (name === 'quiet') quiet = true;
    else if (name === 'progress') showProgress = true;
    else if (name === 'cache') cacheName = value;
    else if (name === 'drop') keep = true;
    else if (name === 'base') baseName = value;
    else rate = parseSizeOption(tool, 'rate limit', value);
  });
  if (operands.length !== 1) tool.failUsage('Expecting one image file name');
  checkImageOpts(tool, imageOpts, format);
  const cache = parseCacheOption(tool, cacheName, `Invalid cache option: ${cacheName}`);
  const filename = operands[0]!; // checked above
  const graph = await tool.createGraph({ mayBlock: true });
  const image = await openImage(
    tool,
    graph,
    { name: filename, imageOpts, format },
    { write: true, cache, flags: { discard: true } },
  );
  try {
    const progress = new Progress(tool, showProgress && !quiet, progressStep).begin();
    try {
      const base = chooseBase(tool, image.node, filename, baseName);
      await commit(tool, image, { base, speed: rate, progress: (percent) => progress.set(percent) });
      // What is below a filter is not emptied.
      if (!keep && baseName === undefined && image.node.definition.kind !== 'filter')
        await empty(tool, image, filename);
      progress.set(100);
    } finally {
      progress.finish();
    }
    if (!quiet) tool.out('Image committed.\n');
    return 0;
  } finally {
    await tool.close([image]);
  }
}

function chooseBase(tool: Tool, top: BlockNode, filename: string, name: string | undefined): BlockNode {
  if (name !== undefined) {
    const found = findNamedImage(top, name);
    return found ?? tool.fail(`Did not find '${name}' in the backing chain of '${filename}'`);
  }
  return top.skipFilters().backing()?.skipFilters() ?? tool.fail('Image does not have a backing file');
}

interface CommitHow {
  base: BlockNode;
  /** Bytes per second; 0: as fast as it goes. */
  speed: number;
  progress(percent: number): void;
}

async function commit(tool: Tool, { node }: BlockBackend, how: CommitHow): Promise<void> {
  await tool.attempt(async () => {
    try {
      await commitAndWait(node.graph, { id: 'commit', top: node, ...how });
    } catch (error) {
      throw error instanceof JobFailure ? error.within('Block job failed') : error;
    }
  });
}

async function empty(tool: Tool, { node }: BlockBackend, filename: string): Promise<void> {
  const image = node.skipFilters();
  await image.drainBegin();
  try {
    const { driver } = image;
    if (!driver.makeEmpty) tool.fail(`Could not empty ${filename}: Operation not supported`);
    await tool.attempt(async () => driver.makeEmpty?.(), { context: `Could not empty ${filename}` });
  } finally {
    image.drainEnd();
  }
}
