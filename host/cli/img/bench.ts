/**
 * `img bench`: a fixed number of requests of one size, a fixed number of them in flight, and the time they took
 * (specification: cli, section 2). Offsets step through the image and wrap at its end.
 *
 * What is measured is the block layer, so the loop does next to nothing: one buffer per request slot, reused, and no
 * allocation of its own.
 */
import { BlockError } from '../../base/errors.ts';
import { InFlight } from '../../base/in-flight.ts';
import type { BlockBackend } from '../../block/backend.ts';
import { Pacer } from '../../platform/pacer.ts';
import type { AioMode, Clock } from '../../platform/platform.ts';
import type { CacheMode } from '../shared/cache-mode.ts';
import { openImage } from '../shared/open-image.ts';
import type { Tool } from '../shared/tool.ts';
import {
  checkImageOpts,
  common,
  parseCacheOption,
  parseCountOption,
  parseExactSizeOption,
  parseSizeOption,
  readCommandLine,
} from './options.ts';

/** Its options, beside `--help`. */
export const specs = [
  common.format,
  common.imageOpts,
  { short: 't', long: 'cache', argument: true },
  { short: 'c', long: 'count', argument: true },
  { short: 'd', long: 'depth', argument: true },
  { short: 'o', long: 'offset', argument: true },
  { short: 's', long: 'buffer-size', argument: true },
  { short: 'S', long: 'step-size', argument: true },
  { short: 'i', long: 'aio', argument: true },
  { short: 'n', long: 'native' },
  { short: 'w', long: 'write' },
  { long: 'pattern', argument: true },
  { long: 'flush-interval', argument: true },
  { long: 'no-drain' },
  common.forceShare,
  { short: 'q' },
];

const maxInt = 2_147_483_647;
/** Every so many requests the clock is looked at, whether the event loop should have its turn. */
const breathRequests = 64;

interface Settings {
  count: number;
  depth: number;
  offset: bigint;
  bufferBytes: number;
  stepBytes: number;
  write: boolean;
  pattern: number;
  /** Requests between flushes; 0: none. */
  flushInterval: number;
  drain: boolean;
}

export async function run(tool: Tool, argv: string[]): Promise<number> {
  const { settings, name, aio, ...how } = await readBenchOptions(tool, argv);
  const graph = await tool.createGraph();
  const { clock } = graph.platform;
  const image = await openImage(
    tool,
    graph,
    { name, ...how },
    { ...how, write: settings.write, flags: { aio } },
  );
  try {
    tool.out(introduction(settings));
    const startNs = clock.nowNs();
    try {
      await new Bench(image, settings, clock).run();
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
      tool.fail(`Failed request: ${error.message}`);
    }
    tool.out(`Run completed in ${((clock.nowNs() - startNs) / 1e9).toFixed(3)} seconds.\n`);
    return 0;
  } finally {
    await tool.close([image]);
  }
}

interface BenchOptions {
  settings: Settings;
  name: string;
  format: string | undefined;
  imageOpts: boolean;
  forceShare: boolean;
  aio: AioMode | undefined;
  cache: CacheMode;
}

async function readBenchOptions(tool: Tool, argv: string[]): Promise<BenchOptions> {
  const settings: Settings = {
    count: 75_000,
    depth: 64,
    offset: 0n,
    bufferBytes: 4096,
    stepBytes: 0,
    write: false,
    pattern: 0,
    flushInterval: 0,
    drain: true,
  };
  let format: string | undefined;
  let imageOpts = false;
  let forceShare = false;
  let aio: AioMode | undefined;
  let cacheName = 'writeback';
  const take: Record<string, (value: string) => void> = {
    format: (value) => (format = value),
    'image-opts': () => (imageOpts = true),
    'force-share': () => (forceShare = true),
    count: (value) => (settings.count = parseCountOption(tool, 'request count', value, { min: 1 })),
    depth: (value) => (settings.depth = parseCountOption(tool, 'queue depth', value, { min: 1 })),
    aio: (value) => (aio = parseAio(tool, value)),
    native: () => (aio = 'native'),
    offset: (value) => (settings.offset = parseExactSizeOption(tool, 'offset', value)),
    'buffer-size': (value) =>
      (settings.bufferBytes = parseSizeOption(tool, 'buffer size', value, { min: 1, max: maxInt })),
    'step-size': (value) => (settings.stepBytes = parseSizeOption(tool, 'step size', value, { max: maxInt })),
    cache: (value) => {
      parseCacheOption(tool, value, 'Invalid cache mode');
      cacheName = value;
    },
    write: () => (settings.write = true),
    pattern: (value) => (settings.pattern = parseCountOption(tool, 'pattern byte', value, { max: 255 })),
    'flush-interval': (value) => (settings.flushInterval = parseCountOption(tool, 'flush interval', value)),
    'no-drain': () => (settings.drain = false),
  };
  const operands = await readCommandLine(tool, argv, specs, ({ name, value }) => take[name]?.(value));
  const [name] = operands;
  if (name === undefined || operands.length > 1) tool.failUsage('Expecting one image file name');
  checkSettings(tool, settings);
  checkImageOpts(tool, imageOpts, format);
  settings.stepBytes ||= settings.bufferBytes;
  const cache = parseCacheOption(tool, cacheName, 'Invalid cache mode');
  return { settings, name, format, imageOpts, forceShare, aio, cache };
}

function parseAio(tool: Tool, value: string): AioMode {
  if (value !== 'threads' && value !== 'native' && value !== 'io_uring')
    tool.fail(`Invalid aio option: ${value}`);
  return value;
}

function checkSettings(tool: Tool, { write, flushInterval, depth }: Settings): void {
  if (!write && flushInterval > 0) tool.fail('--flush-interval is only available in write tests');
  if (flushInterval > 0 && flushInterval < depth) tool.fail("Flush interval can't be smaller than depth");
}

function introduction({
  count,
  write,
  bufferBytes,
  depth,
  offset,
  stepBytes,
  flushInterval,
}: Settings): string {
  const requests =
    `Sending ${count} ${write ? 'write' : 'read'} requests, ${bufferBytes} bytes each, ${depth} in parallel ` +
    `(starting at offset ${offset}, step size ${stepBytes})\n`;
  return flushInterval > 0 ? `${requests}Sending flush every ${flushInterval} requests\n` : requests;
}

/** Request slots that each send the next request as soon as their last one is done. The first failure ends them all. */
class Bench {
  private readonly imageBytes: number;
  private offset: number;
  private issued = 0;
  private sinceFlush = 0;
  private failure: { error: unknown } | undefined;
  private readonly pacer: Pacer;
  /** A flush that requests have to wait for. */
  private barrier: Promise<void> | undefined;
  /** Settles with the last flush. */
  private flushes: Promise<unknown> = Promise.resolve();
  private readonly inFlight = new InFlight();

  constructor(
    private readonly image: BlockBackend,
    private readonly settings: Settings,
    clock: Clock,
  ) {
    this.imageBytes = image.length;
    this.offset = Number(settings.offset);
    this.pacer = new Pacer(clock);
  }

  async run(): Promise<void> {
    const { depth, count, write } = this.settings;
    const slots = Math.min(depth, count);
    await Promise.all(Array.from({ length: slots }, () => (write ? this.writeSlot() : this.readSlot())));
    await this.flushes;
    if (this.failure) throw this.failure.error;
  }

  private async readSlot(): Promise<void> {
    const { image } = this;
    const { count, bufferBytes } = this.settings;
    const buffer = new Uint8Array(bufferBytes);
    try {
      while (this.issued < count && !this.failure) {
        await image.read(this.nextOffset(), buffer);
        if (this.issued % breathRequests === 0) await this.pacer.breathe();
      }
    } catch (error) {
      this.failure ??= { error };
    }
  }

  private async writeSlot(): Promise<void> {
    const { image } = this;
    const { count, bufferBytes, pattern, flushInterval } = this.settings;
    const buffer = new Uint8Array(bufferBytes).fill(pattern);
    while (this.issued < count && !this.failure) {
      if (this.barrier !== undefined) {
        await this.barrier;
        continue;
      }
      this.inFlight.begin();
      try {
        const written = image.write(this.nextOffset(), buffer);
        if (flushInterval > 0 && ++this.sinceFlush === flushInterval) this.startFlush();
        await written;
      } catch (error) {
        this.failure ??= { error };
      }
      this.inFlight.end();
      if (this.issued % breathRequests === 0) await this.pacer.breathe();
    }
  }

  private nextOffset(): number {
    const { offset } = this;
    this.issued++;
    this.offset += this.settings.stepBytes;
    if (this.offset >= this.imageBytes && this.imageBytes > 0) this.offset %= this.imageBytes;
    return offset;
  }

  /** Draining, it waits for the requests in flight, and new ones wait for it; otherwise they go on beside it. */
  private startFlush(): void {
    this.sinceFlush = 0;
    const flushed = this.flush();
    if (this.settings.drain) this.barrier = flushed;
    this.flushes = Promise.all([this.flushes, flushed]);
  }

  private async flush(): Promise<void> {
    if (this.settings.drain) await this.inFlight.whenIdle();
    try {
      await this.image.flush();
    } catch (error) {
      this.failure ??= { error };
    }
    this.barrier = undefined;
  }
}
