/** The command line of `img convert`, read and checked as far as that goes without opening anything. */
import { sectorBytes } from '../../base/sectors.ts';
import type { CacheMode } from '../shared/cache-mode.ts';
import { parseInteger } from '../shared/numbers.ts';
import type { Tool } from '../shared/tool.ts';
import { addOptionList } from './creation-options.ts';
import { common, parseCacheOption, parseSizeOption, readCommandLine } from './options.ts';
import { parseSnapshotParam, type SnapshotParam } from './snapshot-param.ts';

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
  /** Of the only source. */
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
  /** Copies what the source holds as it is, zeros in it too. */
  offload: boolean;
  /** Copies the persistent bitmaps of the only source. */
  bitmaps: boolean;
  skipBrokenBitmaps: boolean;
  /** The target takes its name when it is complete. */
  atomic: boolean;
  forceShare: boolean;
  progress: boolean;
  quiet: boolean;
  cache: CacheMode;
  sourceCache: CacheMode;
}

/** Its options, beside `--help`. */
export const specs = [
  common.object,
  common.imageOpts,
  common.format,
  common.forceShare,
  common.quiet,
  { short: 'O', argument: true },
  { short: 'B', argument: true },
  { short: 'F', argument: true },
  { short: 'C' },
  { short: 'c' },
  { short: 'o', argument: true },
  { short: 'l', argument: true },
  { short: 'S', argument: true },
  { short: 'p' },
  { short: 't', argument: true },
  { short: 'T', argument: true },
  { short: 'n' },
  { short: 'm', argument: true },
  { short: 'W' },
  { short: 'r', argument: true },
  { long: 'target-image-opts' },
  { long: 'target-is-zero' },
  { long: 'salvage' },
  { long: 'bitmaps' },
  { long: 'skip-broken-bitmaps' },
  // Ours.
  { long: 'atomic' },
];

const maxSparseBytes = 16 << 20;
const defaultSparseBytes = 4096;
const maxWorkers = 16;
const defaultWorkers = 8;

type ParsedOptions = Omit<ConvertOptions, 'operands' | 'cache' | 'sourceCache'> & {
  cacheName: string;
  sourceCacheName: string;
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
    format: (value) => (parsed.format = value),
    O: (value) => (parsed.outputFormat = value),
    B: (value) => (parsed.backingFile = value),
    F: (value) => (parsed.backingFormat = value),
    C: () => (parsed.offload = true),
    c: () => (parsed.compressed = true),
    o: (value) => (parsed.creation = addOptionList(tool, parsed.creation, value)),
    l: (value) => (parsed.snapshot = parseSnapshotParam(tool, value)),
    S: (value) => {
      parsed.explicitSparse = true;
      parsed.sparseBytes = parseSparse(tool, value);
    },
    p: () => (parsed.progress = true),
    t: (value) => (parsed.cacheName = value),
    T: (value) => (parsed.sourceCacheName = value),
    n: () => (parsed.skipCreate = true),
    m: (value) => (parsed.workers = parseWorkers(tool, value)),
    W: () => (parsed.outOfOrder = true),
    r: (value) => (parsed.rateLimit = parseSizeOption(tool, 'rate limit', value)),
    'image-opts': () => (parsed.imageOpts = true),
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
  const { cacheName, sourceCacheName } = parsed;
  return {
    ...parsed,
    operands,
    cache: parseCacheOption(tool, cacheName, `Invalid cache option: ${cacheName}`),
    sourceCache: parseCacheOption(tool, sourceCacheName, `Invalid source cache option: ${sourceCacheName}`),
  };
}

/** What does not go together, in the order in which it is told. */
function checkCombination(tool: Tool, options: ParsedOptions): void {
  const { imageOpts, targetImageOpts, skipCreate, offload, bitmaps } = options;
  if (
    (imageOpts && options.format !== undefined) ||
    (targetImageOpts && options.outputFormat !== undefined)
  ) {
    tool.fail('--image-opts and --format are mutually exclusive');
  }
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
  const workers = parseInteger(text, maxWorkers);
  if (workers !== undefined && workers > 0) return workers;
  return tool.fail(
    `Invalid number of coroutines. Allowed number of coroutines is between 1 and ${maxWorkers}`,
  );
}
