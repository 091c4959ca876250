/**
 * `backup restore`: the disks of a snapshot as images: new ones in a folder, or whatever each is to be restored to; or, with `-n`, in
 * place of images that there are.
 */
import { join } from 'node:path';
import { BlockError } from '../../base/errors.ts';
import type { BlockBackend } from '../../block/backend.ts';
import { createImage, removeImage } from '../../block/create.ts';
import type { BlockGraph } from '../../block/graph.ts';
import { fileExists } from '../../platform/node/file-exists.ts';
import { DiskReader } from '../../store/disk-reader.ts';
import { findSnapshot } from '../../store/find-snapshot.ts';
import { disksOf, type StoredDisk } from '../../store/machine.ts';
import type { Repository } from '../../store/repository.ts';
import type { NamedSnapshot } from '../../store/snapshot.ts';
import { common as ofImages, readCommandLine } from '../img/options.ts';
import { formatSize } from '../shared/human-size.ts';
import { type ImageSource, openBackend } from '../shared/open-image.ts';
import { Progress } from '../shared/progress.ts';
import type { Tool } from '../shared/tool.ts';
import { common, RepositoryOptions, repositorySpecs, withLock } from './options.ts';
import { restoreInto } from './restore-disk.ts';

/** Its options, beside `--help`. */
export const specs = [
  ...repositorySpecs,
  common.machine,
  { long: 'disk', argument: true },
  { short: 'n' },
  { short: 'O', long: 'output-format', argument: true },
  { long: 'target-image-opts' },
  ofImages.object,
  ofImages.progress,
  ofImages.quiet,
];

const progressStep = 1;

/** What is restored to where. */
interface Plan {
  readonly disk: StoredDisk;
  readonly target: ImageSource;
}

class Restore {
  private readonly disks: string[] = [];
  private machine: string | undefined;
  private format: string | undefined;
  private isInPlace = false;
  private imageOpts = false;
  private showProgress = false;
  private quiet = false;

  constructor(private readonly tool: Tool) {}

  async run(argv: string[]): Promise<number> {
    const { tool } = this;
    const options = new RepositoryOptions();
    const [id, ...places] = await readCommandLine(tool, argv, specs, (option) => {
      if (!options.take(option)) this.take(option.name, option.value);
    });
    if (id === undefined || places.length === 0)
      return tool.failUsage("Expecting a snapshot (or 'latest'), and a folder or DISK=IMAGE…");
    this.checkOptions();
    const targets = this.targetsOf(places);
    const repository = await options.open(tool);
    const graph = await tool.createGraph({ quiet: true });
    await withLock(tool, repository, async () => {
      const snapshot = await tool.attempt(() => findSnapshot(repository, id, this.machine));
      const progress = new Progress(tool, this.showProgress && !this.quiet, progressStep).begin();
      let done: string[];
      try {
        done = await tool.attempt(async () => {
          const plans = await this.plan(repository, snapshot, targets);
          return this.restoreAll(repository, graph, plans, progress);
        });
      } finally {
        progress.finish();
      }
      if (!this.quiet) tool.out(done.map((line) => `${line}\n`).join(''));
    });
    return 0;
  }

  private take(name: string, value: string): void {
    if (name === 'machine') this.machine = value;
    else if (name === 'disk') this.disks.push(value);
    else if (name === 'n') this.isInPlace = true;
    else if (name === 'output-format') this.format = value;
    else if (name === 'target-image-opts') this.imageOpts = true;
    else if (name === 'progress') this.showProgress = true;
    else this.quiet = true;
  }

  private checkOptions(): void {
    const { tool, isInPlace, imageOpts, format } = this;
    if (imageOpts && format !== undefined)
      tool.failUsage('--target-image-opts and -O are mutually exclusive');
    if (imageOpts && !isInPlace)
      tool.failUsage('--target-image-opts requires use of -n flag: what it describes has to be there');
    // Guessed, it would be what a guest has written there.
    if (isInPlace && !imageOpts && format === undefined)
      tool.failUsage('-n writes to images that are there: which format have they? Use -O');
  }

  /** By the name of the disk; a folder has all those that have no place of their own. */
  private targetsOf(places: readonly string[]): { folder: string | undefined; byDisk: Map<string, string> } {
    const { tool, imageOpts, disks } = this;
    const byDisk = new Map<string, string>();
    let folder: string | undefined;
    for (const place of places) {
      const [, disk, target] = /^([A-Za-z0-9_-][A-Za-z0-9._-]*)=(.+)$/.exec(place) ?? [];
      if (disk === undefined && folder === undefined && !imageOpts) folder = place;
      else if (disk === undefined) tool.failUsage(`Unexpected argument: ${place}; expecting DISK=IMAGE`);
      else if (byDisk.has(disk)) tool.failUsage(`Where is '${disk}' to be restored to? It is named twice`);
      else byDisk.set(disk, target!); // with it
    }
    const homeless = folder === undefined ? disks.find((disk) => !byDisk.has(disk)) : undefined;
    if (homeless !== undefined) tool.failUsage(`Where is '${homeless}' to be restored to?`);
    return { folder, byDisk };
  }

  private async plan(
    repository: Repository,
    snapshot: NamedSnapshot,
    { folder, byDisk }: { folder: string | undefined; byDisk: ReadonlyMap<string, string> },
  ): Promise<Plan[]> {
    const all = await disksOf(repository, snapshot);
    const unknown = [...this.disks, ...byDisk.keys()].find((name) => !all.some((disk) => disk.name === name));
    if (unknown !== undefined)
      throw new BlockError('ENOENT', `There is no disk '${unknown}' in snapshot ${snapshot.id.slice(0, 8)}`);
    const isWanted = ({ name }: StoredDisk): boolean => {
      if (this.disks.length > 0) return this.disks.includes(name) || byDisk.has(name);
      return folder !== undefined || byDisk.has(name);
    };
    const { format = 'raw', imageOpts } = this;
    const plans = all.filter(isWanted).map((disk): Plan => {
      const name = byDisk.get(disk.name) ?? join(folder!, fileNameOf(disk.name, format)); // one of the two
      return { disk, target: imageOpts ? { name, imageOpts } : { name, format } };
    });
    const taken = this.isInPlace ? undefined : plans.find(({ target }) => fileExists(target.name));
    if (taken) throw new BlockError('EEXIST', `'${taken.target.name}' is there already`);
    return plans;
  }

  private async restoreAll(
    repository: Repository,
    graph: BlockGraph,
    plans: readonly Plan[],
    progress: Progress,
  ): Promise<string[]> {
    const total = plans.reduce((sum, { disk }) => sum + disk.file.size, 0);
    let done = 0;
    const lines: string[] = [];
    for (const { disk, target } of plans) {
      const reader = await DiskReader.open(repository, disk.file);
      const write = (image: BlockBackend): Promise<number> =>
        restoreInto(image, reader, {
          hashes: repository.platform.hashes,
          isNew: !this.isInPlace,
          progress: (bytes) => progress.set(((done += bytes) / total) * 100),
        });
      try {
        if (this.isInPlace) {
          const written = await this.withImage(graph, target, write);
          lines.push(
            `restored ${target.name}: ${formatSize(written)} of ${formatSize(disk.file.size)} differed`,
          );
        } else {
          await this.restoreNew(graph, target, reader.layout.bytes, write);
          lines.push(`restored ${target.name}`);
        }
      } catch (error) {
        throw error instanceof BlockError ? error.within(target.name) : error;
      }
    }
    return lines;
  }

  /** A file that is not whole is taken away. */
  private async restoreNew(
    graph: BlockGraph,
    target: ImageSource,
    size: number,
    write: (image: BlockBackend) => Promise<number>,
  ): Promise<void> {
    const { name: filename, format = 'raw' } = target;
    await createImage(graph, { filename, format, size, quiet: true });
    try {
      await this.withImage(graph, target, write);
    } catch (error) {
      await removeImage(graph, filename);
      throw error;
    }
  }

  private async withImage<T>(
    graph: BlockGraph,
    target: ImageSource,
    act: (image: BlockBackend) => Promise<T>,
  ): Promise<T> {
    const image = await openBackend(graph, target, { write: true }, this.tool);
    try {
      return await act(image);
    } finally {
      await image.close();
    }
  }
}

export function run(tool: Tool, argv: string[]): Promise<number> {
  return new Restore(tool).run(argv);
}

function fileNameOf(disk: string, format: string): string {
  const ending = `.${format}`;
  return disk.endsWith(ending) ? disk : `${disk}${ending}`;
}
