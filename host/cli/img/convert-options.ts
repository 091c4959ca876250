/** The command line of `img convert`, read and checked as far as that goes without opening anything. */
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
  forceShare: boolean;
  progress: boolean;
  quiet: boolean;
  cache: CacheMode;
  sourceCache: CacheMode;
}

const specs = [
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
];

const sectorBytes = 512;
const maxSparseBytes = 16 << 20;
const defaultSparseBytes = 4096;
const maxWorkers = 16;
const defaultWorkers = 8;

export async function readConvertOptions(tool: Tool, argv: string[]): Promise<ConvertOptions> {
  let cacheName = 'unsafe';
  let sourceCacheName = 'writeback';
  let explicitSparse = false;
  let offload = false;
  let bitmaps = false;
  let skipBrokenBitmaps = false;
  const options: Omit<ConvertOptions, 'operands' | 'cache' | 'sourceCache'> = {
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
  };
  const take: Record<string, (value: string) => void> = {
    format: (value) => (options.format = value),
    O: (value) => (options.outputFormat = value),
    B: (value) => (options.backingFile = value),
    F: (value) => (options.backingFormat = value),
    C: () => (offload = true),
    c: () => (options.compressed = true),
    o: (value) => (options.creation = addOptionList(tool, options.creation, value)),
    l: (value) => (options.snapshot = parseSnapshotParam(tool, value)),
    S: (value) => {
      explicitSparse = true;
      options.sparseBytes = parseSparse(tool, value);
    },
    p: () => (options.progress = true),
    t: (value) => (cacheName = value),
    T: (value) => (sourceCacheName = value),
    n: () => (options.skipCreate = true),
    m: (value) => (options.workers = parseWorkers(tool, value)),
    W: () => (options.outOfOrder = true),
    r: (value) => (options.rateLimit = parseSizeOption(tool, 'rate limit', value)),
    'image-opts': () => (options.imageOpts = true),
    'force-share': () => (options.forceShare = true),
    quiet: () => (options.quiet = true),
    'target-image-opts': () => (options.targetImageOpts = true),
    'target-is-zero': () => (options.targetIsZero = true),
    salvage: () => (options.salvage = true),
    bitmaps: () => (bitmaps = true),
    'skip-broken-bitmaps': () => (skipBrokenBitmaps = true),
  };
  const operands = await readCommandLine(tool, argv, specs, ({ name, value }) => take[name]?.(value));

  if (
    (options.imageOpts && options.format !== undefined) ||
    (options.targetImageOpts && options.outputFormat !== undefined)
  ) {
    tool.fail('--image-opts and --format are mutually exclusive');
  }
  if (skipBrokenBitmaps && !bitmaps) tool.fail('Use of --skip-broken-bitmaps requires --bitmaps');
  if (options.compressed && offload) tool.fail('Cannot enable copy offloading when -c is used');
  if (explicitSparse && offload) tool.fail('Cannot enable copy offloading when -S is used');
  if (options.salvage && offload) tool.fail('Cannot use copy offloading in salvaging mode');
  if (options.targetImageOpts && !options.skipCreate)
    tool.fail('--target-image-opts requires use of -n flag');
  if (options.skipCreate && options.creation !== undefined)
    tool.fail('-o has no effect when skipping image creation');
  if (options.targetIsZero && !options.skipCreate) tool.fail('--target-is-zero requires use of -n flag');
  if (offload) tool.fail('Copy offloading (-C) is not supported');
  if (bitmaps) tool.fail('Copying bitmaps (--bitmaps) is not supported');
  const cache = parseCacheOption(tool, cacheName, `Invalid cache option: ${cacheName}`);
  const sourceCache = parseCacheOption(
    tool,
    sourceCacheName,
    `Invalid source cache option: ${sourceCacheName}`,
  );
  return { ...options, operands, cache, sourceCache };
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
