/** The command line of `img convert`, read and checked as far as that goes without opening anything. */
import { sectorBytes } from '../../base/sectors.ts';
import { parseSnapshotParam, type SnapshotParam } from '../shared/snapshot-param.ts';
import type { Tool } from '../shared/tool.ts';
import { addOptionList } from './creation-options.ts';
import { common, parseCountOption, parseSizeOption, readCommandLine } from './options.ts';

export interface ConvertOptions {
  operands: string[];
  format: string | undefined;
  outputFormat: string | undefined;
  imageOpts: boolean;
  targetImageOpts: boolean;
  /** The text of all `-o`. */
  creation: string | undefined;
  backingFile: string | undefined;
  backingFormat: string | undefined;
  /** Of the first source. By its name or id alone: of the only one. */
  snapshot: SnapshotParam | undefined;
  skipCreate: boolean;
  targetIsZero: boolean;
  compressed: boolean;
  /** 0: no zero detection. */
  sparseBytes: number;
  workers: number;
  outOfOrder: boolean;
  /** Bytes per second; 0: none. */
  rateLimit: number;
  salvage: boolean;
  /** Has the host copy what the source holds, as it is, where it can. */
  offload: boolean;
  /** Copies the persistent bitmaps of the only source. */
  bitmaps: boolean;
  skipBrokenBitmaps: boolean;
  /** The target takes its name when it is complete. */
  atomic: boolean;
  forceShare: boolean;
  progress: boolean;
  quiet: boolean;
  /** Of the target. As it was given: what the target is made of is looked at first. */
  cacheName: string;
  sourceCacheName: string;
}

/** Its options, beside `--help`. */
export const specs = [
  common.quiet,
  common.object,
  common.imageOpts,
  { long: 'source-image-opts' },
  { short: 'f', long: 'source-format', argument: true },
  { short: 'T', long: 'source-cache', argument: true },
  { short: 'l', long: 'snapshot', argument: true },
  { short: 'S', long: 'sparse-size', argument: true },
  { short: 'O', long: 'output-format', argument: true },
  { short: 'o', long: 'options', argument: true },
  { short: 't', long: 'output-cache', argument: true },
  { short: 'B', long: 'backing', argument: true },
  { short: 'F', long: 'backing-format', argument: true },
  common.forceShare,
  { long: 'target-image-opts' },
  { long: 'salvage' },
  { long: 'target-is-zero' },
  { long: 'bitmaps' },
  { long: 'skip-broken-bitmaps' },
  { short: 'r', long: 'rate', argument: true },
  { short: 'm', long: 'parallel', argument: true },
  { short: 'W', long: 'oob-writes' },
  { short: 'C', long: 'copy-range-offloading' },
  { short: 'c' },
  { short: 'n' },
  { short: 'p' },
  // Ours.
  { long: 'atomic' },
];

const maxSparseBytes = 16 << 20;
const defaultSparseBytes = 4096;
const maxWorkers = 16;
const defaultWorkers = 8;

type ParsedOptions = Omit<ConvertOptions, 'operands'> & {
  /** `-S` was given. */
  explicitSparse: boolean;
};

const defaults: ParsedOptions = {
  format: undefined,
  outputFormat: undefined,
  imageOpts: false,
  targetImageOpts: false,
  creation: undefined,
  backingFile: undefined,
  backingFormat: undefined,
  snapshot: undefined,
  skipCreate: false,
  targetIsZero: false,
  compressed: false,
  sparseBytes: defaultSparseBytes,
  workers: defaultWorkers,
  outOfOrder: false,
  rateLimit: 0,
  salvage: false,
  forceShare: false,
  progress: false,
  quiet: false,
  cacheName: 'unsafe',
  sourceCacheName: 'writeback',
  explicitSparse: false,
  offload: false,
  bitmaps: false,
  skipBrokenBitmaps: false,
  atomic: false,
};

export async function readConvertOptions(tool: Tool, argv: string[]): Promise<ConvertOptions> {
  const parsed = { ...defaults };
  const take: Record<string, (value: string) => void> = {
    'source-format': (value) => (parsed.format = value),
    'output-format': (value) => (parsed.outputFormat = value),
    backing: (value) => (parsed.backingFile = value),
    'backing-format': (value) => (parsed.backingFormat = value),
    'copy-range-offloading': () => (parsed.offload = true),
    c: () => (parsed.compressed = true),
    options: (value) => (parsed.creation = addOptionList(tool, parsed.creation, value)),
    snapshot: (value) => (parsed.snapshot = parseSnapshotParam(tool, value)),
    'sparse-size': (value) => {
      parsed.explicitSparse = true;
      parsed.sparseBytes = parseSparse(tool, value);
    },
    p: () => (parsed.progress = true),
    'output-cache': (value) => (parsed.cacheName = value),
    'source-cache': (value) => (parsed.sourceCacheName = value),
    n: () => (parsed.skipCreate = true),
    parallel: (value) => (parsed.workers = parseWorkers(tool, value)),
    'oob-writes': () => (parsed.outOfOrder = true),
    rate: (value) => (parsed.rateLimit = parseSizeOption(tool, 'rate limit', value)),
    'image-opts': () => (parsed.imageOpts = true),
    'source-image-opts': () => (parsed.imageOpts = true),
    'force-share': () => (parsed.forceShare = true),
    quiet: () => (parsed.quiet = true),
    'target-image-opts': () => (parsed.targetImageOpts = true),
    'target-is-zero': () => (parsed.targetIsZero = true),
    salvage: () => (parsed.salvage = true),
    bitmaps: () => (parsed.bitmaps = true),
    'skip-broken-bitmaps': () => (parsed.skipBrokenBitmaps = true),
    atomic: () => (parsed.atomic = true),
  };
  const operands = await readCommandLine(tool, argv, specs, ({ name, value }) => take[name]?.(value));
  checkCombination(tool, parsed);
  return { ...parsed, operands };
}

/** What does not go together, in the order in which it is told. */
function checkCombination(tool: Tool, options: ParsedOptions): void {
  const { targetImageOpts, skipCreate, offload, bitmaps } = options;
  if (options.skipBrokenBitmaps && !bitmaps) tool.fail('Use of --skip-broken-bitmaps requires --bitmaps');
  if (options.compressed && offload) tool.fail('Cannot enable copy offloading when -c is used');
  if (options.explicitSparse && offload) tool.fail('Cannot enable copy offloading when -S is used');
  if (options.salvage && offload) tool.fail('Cannot use copy offloading in salvaging mode');
  if (targetImageOpts && !skipCreate) tool.fail('--target-image-opts requires use of -n flag');
  if (skipCreate && options.creation !== undefined)
    tool.fail('-o has no effect when skipping image creation');
  if (options.targetIsZero && !skipCreate) tool.fail('--target-is-zero requires use of -n flag');
  if (options.atomic && skipCreate) tool.fail('--atomic makes the target anew: it cannot be used with -n');
}

function parseSparse(tool: Tool, text: string): number {
  const bytes = parseSizeOption(tool, 'buffer size for sparse output', text);
  if (bytes % sectorBytes === 0 && bytes <= maxSparseBytes) return bytes;
  return tool.fail(
    'Invalid buffer size for sparse output specified. Valid sizes are multiples of 512 up to ' +
      `${maxSparseBytes}. Select 0 to disable sparse detection (fully allocates output).`,
  );
}

function parseWorkers(tool: Tool, text: string): number {
  return parseCountOption(tool, 'number of coroutines', text, { min: 1, max: maxWorkers });
}
