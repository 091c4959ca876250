/** `backup restore`: new images of the disks of a snapshot, in a folder that is there. */
import { join } from 'node:path';
import { BlockError } from '../../base/errors.ts';
import { createImage, removeImage } from '../../block/create.ts';
import type { BlockGraph } from '../../block/graph.ts';
import { runPipeline } from '../../copy/pipeline.ts';
import { fileExists } from '../../platform/node/file-exists.ts';
import { DiskReader } from '../../store/disk-reader.ts';
import { disksOf, type StoredDisk } from '../../store/machine.ts';
import type { Repository } from '../../store/repository.ts';
import type { NamedSnapshot } from '../../store/snapshot.ts';
import { common as ofImages, readCommandLine } from '../img/options.ts';
import { openBackend } from '../shared/open-image.ts';
import { Progress } from '../shared/progress.ts';
import type { Tool } from '../shared/tool.ts';
import { common, RepositoryOptions, repositorySpecs, withLock } from './options.ts';

/** Its options, beside `--help`. */
export const specs = [
  ...repositorySpecs,
  common.machine,
  { long: 'disk', argument: true },
  { short: 'O', long: 'output-format', argument: true },
  ofImages.progress,
  ofImages.quiet,
];

const progressStep = 1;

interface Wanted {
  readonly disks: readonly string[];
  readonly format: string;
  readonly folder: string;
}

export async function run(tool: Tool, argv: string[]): Promise<number> {
  const options = new RepositoryOptions();
  const disks: string[] = [];
  let machine: string | undefined;
  let format = 'raw';
  let [showProgress, quiet] = [false, false];
  const operands = await readCommandLine(tool, argv, specs, (option) => {
    if (options.take(option)) return;
    const { name, value } = option;
    if (name === 'machine') machine = value;
    else if (name === 'disk') disks.push(value);
    else if (name === 'output-format') format = value;
    else if (name === 'progress') showProgress = true;
    else quiet = true;
  });
  const [id, folder, extra] = operands;
  if (id === undefined || folder === undefined)
    return tool.failUsage("Expecting a snapshot (or 'latest') and a folder");
  if (extra !== undefined) return tool.failUsage(`Unexpected argument: ${extra}`);
  const repository = await options.open(tool);
  const graph = await tool.createGraph({ quiet: true });
  await withLock(tool, repository, async () => {
    const snapshot = await tool.attempt(() => find(repository, id, machine));
    const progress = new Progress(tool, showProgress && !quiet, progressStep).begin();
    try {
      const wanted = { disks, format, folder };
      const paths = await tool.attempt(() => restore(repository, graph, snapshot, wanted, tool, progress));
      if (!quiet) tool.out(paths.map((path) => `restored ${path}\n`).join(''));
    } finally {
      progress.finish();
    }
  });
  return 0;
}

/** By the beginning of an id that only one has, or `latest`. */
async function find(repository: Repository, id: string, machine: string | undefined): Promise<NamedSnapshot> {
  const all = await repository.snapshots();
  const of = all.filter(({ hostname }) => machine === undefined || hostname === machine);
  const matching = id === 'latest' ? of.slice(-1) : of.filter((snapshot) => snapshot.id.startsWith(id));
  const [found, another] = matching;
  if (!found)
    throw new BlockError(
      'ENOENT',
      `There is no snapshot '${id}'${machine === undefined ? '' : ` of ${machine}`}`,
    );
  if (another) throw new BlockError('EINVAL', `'${id}' is the beginning of ${matching.length} snapshots`);
  return found;
}

async function restore(
  repository: Repository,
  graph: BlockGraph,
  snapshot: NamedSnapshot,
  { disks, format, folder }: Wanted,
  tool: Tool,
  progress: Progress,
): Promise<string[]> {
  const all = await disksOf(repository, snapshot);
  const unknown = disks.find((name) => !all.some((disk) => disk.name === name));
  if (unknown !== undefined)
    throw new BlockError('ENOENT', `There is no disk '${unknown}' in snapshot ${snapshot.id.slice(0, 8)}`);
  const chosen = disks.length === 0 ? all : all.filter(({ name }) => disks.includes(name));
  const places = chosen.map((disk) => ({ disk, path: join(folder, fileNameOf(disk.name, format)) }));
  for (const { path } of places)
    if (fileExists(path)) throw new BlockError('EEXIST', `'${path}' is there already`);
  const total = chosen.reduce((sum, { file }) => sum + file.size, 0);
  let done = 0;
  for (const { disk, path } of places)
    await restoreDisk(repository, graph, disk, { path, format }, tool, (bytes) =>
      progress.set(((done += bytes) / total) * 100),
    );
  return places.map(({ path }) => path);
}

function fileNameOf(disk: string, format: string): string {
  const ending = `.${format}`;
  return disk.endsWith(ending) ? disk : `${disk}${ending}`;
}

/** A file that is not whole is taken away. */
async function restoreDisk(
  repository: Repository,
  graph: BlockGraph,
  { file }: StoredDisk,
  { path, format }: { path: string; format: string },
  tool: Tool,
  progress: (bytes: number) => void,
): Promise<void> {
  const reader = await DiskReader.open(repository, file);
  await createImage(graph, {
    filename: path,
    format,
    size: reader.bytes,
    values: {},
    exact: {},
    unsafe: false,
    quiet: true,
  });
  try {
    const image = await openBackend(graph, { name: path, format }, { write: true }, tool);
    try {
      await copy(reader, (offset, bytes) => image.write(offset, bytes), progress);
      await image.flush();
    } finally {
      await image.close();
    }
  } catch (error) {
    await removeImage(graph, path);
    throw error instanceof BlockError ? error.within(path) : error;
  }
}

/** A chunk on its way. */
interface Lane {
  /** Undefined: zeros. */
  content?: Uint8Array | undefined;
}

/** A new image is zero where nothing is written. */
async function copy(
  reader: DiskReader,
  write: (offset: number, bytes: Uint8Array) => Promise<void>,
  progress: (bytes: number) => void,
): Promise<void> {
  let next = 0;
  const lanes: Lane[] = [{}, {}, {}, {}];
  const stages = {
    next: async () => (next < reader.chunks ? next++ : undefined),
    async read(chunk: number, lane: Lane): Promise<void> {
      lane.content = (await reader.isZero(chunk)) ? undefined : await reader.readChunk(chunk);
    },
    async write(chunk: number, { content }: Lane): Promise<void> {
      const { offset, bytes } = reader.range(chunk);
      if (content) await write(offset, content);
      progress(bytes);
    },
  };
  await runPipeline(lanes, stages, 'none');
}
