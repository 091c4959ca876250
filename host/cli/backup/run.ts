/** `backup run`: images that nobody writes to, or disks of a running machine, as one snapshot. */
import { basename, extname } from 'node:path';
import { isName } from '../../store/machine.ts';
import { checkImageOpts, common as ofImages, readCommandLine } from '../img/options.ts';
import { Progress } from '../shared/progress.ts';
import type { Tool } from '../shared/tool.ts';
import { common, RepositoryOptions, repositorySpecs } from './options.ts';

/** Its options, beside `--help`. */
export const specs = [
  ...repositorySpecs,
  common.machine,
  ofImages.format,
  ofImages.imageOpts,
  ofImages.object,
  ofImages.progress,
  ofImages.quiet,
  { long: 'qmp', argument: true },
  { long: 'scratch', argument: true },
  { long: 'nbd', argument: true },
];

const progressStep = 1;

/** What the options say, beside the repository. */
interface Wanted {
  machine?: string;
  format?: string | undefined;
  imageOpts?: boolean;
  qmp?: string;
  scratch?: string;
  nbd?: string;
}

export async function run(tool: Tool, argv: string[]): Promise<number> {
  const options = new RepositoryOptions();
  const wanted: Wanted = {};
  let [showProgress, quiet] = [false, false];
  const operands = await readCommandLine(tool, argv, specs, (option) => {
    if (options.take(option)) return;
    const { name, value } = option;
    if (name === 'image-opts') wanted.imageOpts = true;
    else if (name === 'progress') showProgress = true;
    else if (name === 'quiet') quiet = true;
    else if (name !== 'object') wanted[name as 'machine' | 'format' | 'qmp' | 'scratch' | 'nbd'] = value;
  });
  const { machine } = wanted;
  if (machine === undefined) return tool.failUsage('Which machine is it? Use --machine');
  if (!isName(machine))
    return tool.failUsage(
      `--machine: '${machine}' has other characters than letters, digits, '.', '-' and '_'`,
    );
  const backUp = wanted.qmp === undefined ? ofFiles(tool, wanted, operands) : live(tool, wanted, operands);
  const repository = await options.open(tool);
  const progress = new Progress(tool, showProgress && !quiet, progressStep).begin();
  let done: string;
  try {
    done = await backUp(repository, machine, progress);
  } finally {
    progress.finish();
  }
  if (!quiet) tool.out(done);
  return 0;
}

type BackUp = (
  repository: Awaited<ReturnType<RepositoryOptions['open']>>,
  machine: string,
  progress: Progress,
) => Promise<string>;

function ofFiles(tool: Tool, wanted: Wanted, operands: readonly string[]): BackUp {
  const { format, imageOpts = false } = wanted;
  for (const name of ['scratch', 'nbd'] as const)
    if (wanted[name] !== undefined) tool.failUsage(`--${name} is of use only with --qmp`);
  if (operands.length === 0) return tool.failUsage('Expecting image file names');
  checkImageOpts(tool, imageOpts, format);
  const named = operands.map((operand) => parseOperand(tool, operand, imageOpts));
  const twice = named.find(({ name }, i) => named.findIndex((other) => other.name === name) !== i);
  if (twice) return tool.failUsage(`Two disks would be called '${twice.name}': use NAME=IMAGE`);
  const images = named.map(({ name, image }) => ({ name, image: { name: image, imageOpts, format } }));
  return async (repository, machine, progress) => {
    const { backUpImages } = await import('./images.ts');
    return backUpImages(tool, repository, machine, images, progress);
  };
}

/** `DISK=IMAGE`, or an image whose name without its ending is the disk's. */
function parseOperand(tool: Tool, operand: string, imageOpts: boolean): { name: string; image: string } {
  const { name: given, of: rest } = parsePair(operand);
  if (given !== undefined && !imageOpts) return { name: given, image: rest };
  const [, named, options] = imageOpts ? (/^([A-Za-z0-9_-]+)=(.*=.*)$/.exec(operand) ?? []) : [];
  if (named !== undefined && named !== 'driver') return { name: named, image: options! }; // with it
  const name = basename(operand, extname(operand));
  if (imageOpts || !isName(name))
    return tool.failUsage(`What is the disk '${operand}' called? Use NAME=IMAGE`);
  return { name, image: operand };
}

/** `DISK=…`, or without a name. */
function parsePair(operand: string): { name: string | undefined; of: string } {
  const [, name, of = operand] = /^([A-Za-z0-9_-][A-Za-z0-9._-]*)=(.*)$/.exec(operand) ?? [];
  return { name, of };
}

function live(tool: Tool, wanted: Wanted, operands: readonly string[]): BackUp {
  const { qmp = '', scratch, nbd: server, format, imageOpts } = wanted;
  if (format !== undefined || imageOpts) return tool.failUsage('--qmp has devices and nodes, not images');
  const socket = qmp.replace(/^unix:/, '');
  const disks = operands.map(parsePair);
  return async (repository, machine, progress) => {
    const { backUpLive } = await import('./live/back-up.ts');
    return backUpLive(tool, repository, { socket, machine, disks, scratch, server }, progress);
  };
}
