/** `backup run`: images that nobody writes to, as one snapshot of a machine. */
import { basename, extname } from 'node:path';
import type { BlockBackend } from '../../block/backend.ts';
import { versionInfo } from '../../qmp/version.ts';
import { writeDisk } from '../../store/disk-writer.ts';
import type { RepositoryLock } from '../../store/lock.ts';
import { type BackedUpDisk, chunkBytesOf, isName, putMachine } from '../../store/machine.ts';
import type { Repository } from '../../store/repository.ts';
import { RepositoryWriter } from '../../store/repository-writer.ts';
import { checkImageOpts, common as ofImages, readCommandLine } from '../img/options.ts';
import { formatSize } from '../shared/human-size.ts';
import { openImage } from '../shared/open-image.ts';
import { Progress } from '../shared/progress.ts';
import type { Tool } from '../shared/tool.ts';
import { diskSource } from './disk-source.ts';
import { common, holder, RepositoryOptions, repositorySpecs, withLock } from './options.ts';

/** Its options, beside `--help`. */
export const specs = [
  ...repositorySpecs,
  common.machine,
  ofImages.format,
  ofImages.imageOpts,
  ofImages.object,
  ofImages.progress,
  ofImages.quiet,
];

const progressStep = 1;

interface OpenDisk {
  readonly name: string;
  readonly image: BlockBackend;
}

export async function run(tool: Tool, argv: string[]): Promise<number> {
  const options = new RepositoryOptions();
  let machine: string | undefined;
  let format: string | undefined;
  let [imageOpts, showProgress, quiet] = [false, false, false];
  const operands = await readCommandLine(tool, argv, specs, (option) => {
    if (options.take(option)) return;
    const { name, value } = option;
    if (name === 'machine') machine = value;
    else if (name === 'format') format = value;
    else if (name === 'image-opts') imageOpts = true;
    else if (name === 'progress') showProgress = true;
    else quiet = true;
  });
  if (machine === undefined) return tool.failUsage('Which machine is it? Use --machine');
  if (!isName(machine))
    return tool.failUsage(
      `--machine: '${machine}' has other characters than letters, digits, '.', '-' and '_'`,
    );
  if (operands.length === 0) return tool.failUsage('Expecting image file names');
  checkImageOpts(tool, imageOpts, format);
  const named = operands.map((operand) => parseOperand(tool, operand, imageOpts));
  const twice = named.find(({ name }, i) => named.findIndex((other) => other.name === name) !== i);
  if (twice) return tool.failUsage(`Two disks would be called '${twice.name}': use NAME=IMAGE`);
  const repository = await options.open(tool);
  const graph = await tool.createGraph();
  const disks: OpenDisk[] = [];
  try {
    for (const { name, image } of named) {
      const source = { name: image, imageOpts, format };
      // Nobody may write to it: what is read at the end belongs to what was read at the beginning.
      disks.push({ name, image: await openImage(tool, graph, source, { exclusive: true }) });
    }
    const progress = new Progress(tool, showProgress && !quiet, progressStep).begin();
    const done = await withLock(tool, repository, async (lock) => {
      try {
        return await tool.attempt(() => backUp(repository, lock, machine!, disks, progress)); // checked above
      } finally {
        progress.finish();
      }
    });
    if (!quiet) tool.out(done);
    return 0;
  } finally {
    await tool.close(disks.map(({ image }) => image));
  }
}

/** `DISK=IMAGE`, or an image whose name without its ending is the disk's. */
function parseOperand(tool: Tool, operand: string, imageOpts: boolean): { name: string; image: string } {
  const [, given, rest] = /^([A-Za-z0-9_-][A-Za-z0-9._-]*)=(.*)$/.exec(operand) ?? [];
  if (given !== undefined && !imageOpts) return { name: given, image: rest! }; // with it
  const [, named, options] = imageOpts ? (/^([A-Za-z0-9_-]+)=(.*=.*)$/.exec(operand) ?? []) : [];
  if (named !== undefined && named !== 'driver') return { name: named, image: options! }; // with it
  const name = basename(operand, extname(operand));
  if (imageOpts || !isName(name))
    return tool.failUsage(`What is the disk '${operand}' called? Use NAME=IMAGE`);
  return { name, image: operand };
}

async function backUp(
  repository: Repository,
  lock: RepositoryLock,
  machine: string,
  disks: readonly OpenDisk[],
  progress: Progress,
): Promise<string> {
  const writer = await RepositoryWriter.start(repository, { check: () => lock.check() });
  const total = disks.reduce((sum, { image }) => sum + image.length, 0);
  let done = 0;
  const backedUp: BackedUpDisk[] = [];
  for (const { name, image } of disks) {
    const chunkBytes = chunkBytesOf(image.length);
    const content = await writeDisk(writer, diskSource(image), {
      chunkBytes,
      check: () => lock.check(),
      progress: (bytes) => progress.set(((done += bytes) / total) * 100),
    });
    const format = image.node.definition.name;
    backedUp.push({ name, size: image.length, chunkBytes, format, content });
  }
  const id = await putMachine(repository, writer, machine, backedUp, {
    username: holder().username,
    program: `blockyard ${versionInfo.package}`,
  });
  const { newBytes, reusedBytes, storedBytes } = writer.statistics;
  return `snapshot ${id.slice(0, 8)}: ${formatSize(newBytes)} new, ${formatSize(reusedBytes)} known, ${formatSize(storedBytes)} stored\n`;
}
