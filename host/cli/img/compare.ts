/**
 * `img compare`: whether two disks have the same content (specification: cli, sections 2 and 3). What block status
 * says is zero on both sides is not read.
 */
import { BlockError } from '../../base/errors.ts';
import { roundDown, sectorBytes } from '../../base/sectors.ts';
import type { BlockBackend } from '../../block/backend.ts';
import { type BlockStatus, statusAbove } from '../../block/status.ts';
import { ScanArena, type ScanBuffer } from '../../core/scan.ts';
import type { ParsedOption } from '../shared/getopt.ts';
import { openImage } from '../shared/open-image.ts';
import { Progress } from '../shared/progress.ts';
import type { Tool } from '../shared/tool.ts';
import { checkImageOpts, common, parseCacheOption, readCommandLine } from './options.ts';

/** Its options, beside `--help`. */
export const specs = [
  common.quiet,
  common.object,
  { short: 'T', long: 'cache', argument: true },
  common.imageOpts,
  { short: 'f', long: 'a-format', argument: true },
  { long: 'left-format', argument: true },
  { short: 'F', long: 'b-format', argument: true },
  { long: 'right-format', argument: true },
  common.forceShare,
  { short: 's', long: 'strict' },
  { short: 'p', long: 'progress' },
];

const exit = { identical: 0, different: 1, failed: 2, statusFailed: 3, readFailed: 4 } as const;
const bufferBytes = 2 << 20;
const progressStep = 2;

export async function run(tool: Tool, argv: string[]): Promise<number> {
  let firstFormat: string | undefined;
  let secondFormat: string | undefined;
  let cacheName = 'writeback';
  let imageOpts = false;
  let forceShare = false;
  let quiet = false;
  let strict = false;
  let showProgress = false;
  const take = ({ name, value }: ParsedOption): void => {
    if (name === 'a-format' || name === 'left-format') firstFormat = value;
    else if (name === 'b-format' || name === 'right-format') secondFormat = value;
    else if (name === 'cache') cacheName = value;
    else if (name === 'image-opts') imageOpts = true;
    else if (name === 'force-share') forceShare = true;
    else if (name === 'quiet') quiet = true;
    else if (name === 'strict') strict = true;
    else if (name === 'progress') showProgress = true;
  };
  const operands = await readCommandLine(tool, argv, specs, take, { objectStatus: exit.failed });
  if (operands.length !== 2) tool.failUsage('Expecting two image file names');
  const cache = parseCacheOption(tool, cacheName, `Invalid source cache option: ${cacheName}`, exit.failed);
  checkImageOpts(tool, imageOpts, firstFormat, exit.failed);
  const [firstName, secondName] = operands as [string, string];
  const graph = await tool.createGraph();
  const open = (name: string, format: string | undefined): Promise<BlockBackend> =>
    openImage(tool, graph, { name, imageOpts, format }, { cache, forceShare, status: exit.failed });
  const first = await open(firstName, firstFormat);
  try {
    checkImageOpts(tool, imageOpts, secondFormat, exit.failed);
    const second = await open(secondName, secondFormat);
    try {
      const progress = new Progress(tool, showProgress && !quiet, progressStep).begin();
      try {
        const sides: Sides = [
          { name: firstName, image: first },
          { name: secondName, image: second },
        ];
        return await new Comparison(tool, sides, { strict, quiet, progress }).run();
      } finally {
        progress.finish();
      }
    } finally {
      await second.close();
    }
  } finally {
    await first.close();
  }
}

interface Side {
  name: string;
  image: BlockBackend;
}
type Sides = readonly [Side, Side];

class Comparison {
  private readonly arena = new ScanArena(2 * bufferBytes);
  private readonly buffers: readonly [ScanBuffer, ScanBuffer];

  constructor(
    private readonly tool: Tool,
    private readonly sides: Sides,
    private readonly options: { strict: boolean; quiet: boolean; progress: Progress },
  ) {
    this.buffers = [this.arena.allocate(bufferBytes), this.arena.allocate(bufferBytes)];
  }

  async run(): Promise<number> {
    const [first, second] = this.sides;
    const { strict } = this.options;
    const shorter = Math.min(first.image.length, second.image.length);
    const longer = Math.max(first.image.length, second.image.length);
    if (strict && shorter !== longer) return this.different('Strict mode: Image size mismatch!');
    for (let at = 0; at < shorter; ) {
      const [one, other] = [
        await this.status(first, at, shorter - at),
        await this.status(second, at, shorter - at),
      ];
      if (strict && !sameStatus(one, other)) {
        return this.different(`Strict mode: Offset ${at} block status mismatch!`);
      }
      const bytes = Math.min(one.bytes, other.bytes);
      const mismatch = await this.compareRange(at, bytes, one, other);
      if (mismatch !== undefined) return this.different(`Content mismatch at offset ${mismatch}!`);
      at += bytes;
      this.options.progress.set((at / longer) * 100);
    }
    if (shorter !== longer) {
      this.say('Warning: Image size mismatch!');
      const rest = first.image.length > shorter ? first : second;
      const mismatch = await this.findNonZero(rest, shorter, longer);
      if (mismatch !== undefined) return this.different(`Content mismatch at offset ${mismatch}!`);
    }
    this.say('Images are identical.');
    return exit.identical;
  }

  private different(message: string): number {
    this.say(message);
    return exit.different;
  }

  private say(message: string): void {
    if (!this.options.quiet) this.tool.out(`${message}\n`);
  }

  private async status({ name, image }: Side, at: number, bytes: number): Promise<BlockStatus> {
    try {
      return await statusAbove(image.node.skipFilters(), undefined, at, bytes);
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
      return this.tool.fail(`Sector allocation test failed for ${name}`, { status: exit.statusFailed });
    }
  }

  /** Offset of the first sector that differs. */
  private async compareRange(
    start: number,
    bytes: number,
    one: BlockStatus,
    other: BlockStatus,
  ): Promise<number | undefined> {
    const [first, second] = this.sides;
    if (one.zero && other.zero) return undefined;
    if (one.zero) return this.findNonZeroData(second, start, start + bytes);
    if (other.zero) return this.findNonZeroData(first, start, start + bytes);
    const [a, b] = this.buffers;
    for (let done = 0; done < bytes; done += bufferBytes) {
      const part = Math.min(bufferBytes, bytes - done);
      await Promise.all([this.read(first, a, start + done, part), this.read(second, b, start + done, part)]);
      const same = this.arena.firstDifference(a, b, part);
      if (same < part) return start + done + roundDown(same, sectorBytes);
    }
    return undefined;
  }

  private async findNonZero(side: Side, start: number, end: number): Promise<number | undefined> {
    for (let at = start; at < end; ) {
      const status = await this.status(side, at, end - at);
      const mismatch = status.zero ? undefined : await this.findNonZeroData(side, at, at + status.bytes);
      if (mismatch !== undefined) return mismatch;
      at += status.bytes;
      this.options.progress.set((at / end) * 100);
    }
    return undefined;
  }

  private async findNonZeroData(side: Side, start: number, end: number): Promise<number | undefined> {
    const [buffer] = this.buffers;
    for (let at = start; at < end; at += bufferBytes) {
      const part = Math.min(bufferBytes, end - at);
      await this.read(side, buffer, at, part);
      const run = this.arena.run(buffer, 0, part, sectorBytes);
      const zeros = run.zero ? run.bytes : 0;
      if (zeros < part) return at + zeros;
    }
    return undefined;
  }

  private async read({ name, image }: Side, buffer: ScanBuffer, at: number, bytes: number): Promise<void> {
    try {
      await image.read(at, buffer.bytes.subarray(0, bytes));
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
      this.tool.fail(`Error while reading offset ${at} of ${name}: ${error.message}`, {
        status: exit.readFailed,
      });
    }
  }
}

/** Strict mode compares what block status says, but not where the data is. */
function sameStatus(one: BlockStatus, other: BlockStatus): boolean {
  return (
    one.data === other.data &&
    one.zero === other.zero &&
    one.allocated === other.allocated &&
    one.eof === other.eof &&
    (one.offset === undefined) === (other.offset === undefined)
  );
}
