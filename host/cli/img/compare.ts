/**
 * `img compare`: whether two disks have the same content (specification: cli, sections 2 and 3). What block status
 * says is zero on both sides is not read. While a piece is compared the next ones are read (copy/pipeline.ts).
 */
import { BlockError } from '../../base/errors.ts';
import { roundDown, sectorBytes } from '../../base/sectors.ts';
import type { BlockBackend } from '../../block/backend.ts';
import { type BlockStatus, statusAbove } from '../../block/status.ts';
import { runPipeline } from '../../copy/pipeline.ts';
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
/** What is read at once of each side. */
const bufferBytes = 2 << 20;
/** Of each side: as many pieces are under way. */
const bufferCount = 3;
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
  const graph = await tool.createGraph({ mayBlock: true });
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

/** A side that cannot be read. Told in its turn: it may be behind what is different. */
class Unreadable extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

interface Side {
  name: string;
  image: BlockBackend;
}
type Sides = readonly [Side, Side];

/** A part of both disks, and what is known of it before it is read. */
interface Piece {
  at: number;
  bytes: number;
  /** Of each side: nothing but zeros, which is what counts as being behind the end of the shorter one. */
  zero: readonly [boolean, boolean];
  /** Strict mode looks no further than this. */
  statusDiffers: boolean;
}

type Buffers = readonly [ScanBuffer, ScanBuffer];

class Comparison {
  private readonly arena = new ScanArena(2 * bufferCount * bufferBytes);
  private position = 0;
  /** What the next pieces are cut off from. */
  private extent: Piece | undefined;
  /** What is different; pieces behind it are of no account. */
  private difference: string | undefined;

  constructor(
    private readonly tool: Tool,
    private readonly sides: Sides,
    private readonly options: { strict: boolean; quiet: boolean; progress: Progress },
  ) {}

  async run(): Promise<number> {
    const lengths = this.sides.map(({ image }) => image.length);
    const [shorter, longer] = [Math.min(...lengths), Math.max(...lengths)];
    if (this.options.strict && shorter !== longer) return this.different('Strict mode: Image size mismatch!');
    const buffers = Array.from(
      { length: bufferCount },
      (): Buffers => [this.arena.allocate(bufferBytes), this.arena.allocate(bufferBytes)],
    );
    await this.compareUpTo(shorter, longer, buffers);
    if (this.difference === undefined && shorter !== longer) {
      this.say('Warning: Image size mismatch!');
      await this.compareUpTo(longer, longer, buffers);
    }
    if (this.difference !== undefined) return this.different(this.difference);
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

  private async compareUpTo(end: number, longer: number, buffers: readonly Buffers[]): Promise<void> {
    try {
      await runPipeline<Piece, Buffers>(buffers, {
        next: () => this.nextPiece(end),
        read: (piece, into) => this.readPiece(piece, into),
        write: async (piece, from) => {
          this.difference ??= this.differenceIn(piece, from);
          if (this.difference === undefined)
            this.options.progress.set(((piece.at + piece.bytes) / longer) * 100);
        },
      });
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      if (this.difference === undefined) this.tool.fail(error.message, { status: error.status });
    }
  }

  private async nextPiece(end: number): Promise<Piece | undefined> {
    const at = this.position;
    if (at >= end || this.difference !== undefined) return undefined;
    if (!this.extent || at >= this.extent.at + this.extent.bytes) this.extent = await this.extentAt(at, end);
    const { extent } = this;
    const rest = extent.at + extent.bytes - at;
    const isRead = extent.zero.includes(false) && !extent.statusDiffers;
    const bytes = isRead ? Math.min(bufferBytes, rest) : rest;
    this.position = at + bytes;
    return { ...extent, at, bytes };
  }

  private async extentAt(at: number, end: number): Promise<Piece> {
    const known: (BlockStatus | undefined)[] = [];
    for (const side of this.sides) {
      known.push(at < side.image.length ? await this.status(side, at, end - at) : undefined);
    }
    const [one, other] = known;
    const bytes = Math.min(one?.bytes ?? end - at, other?.bytes ?? end - at);
    const statusDiffers = this.options.strict && one && other ? !sameStatus(one, other) : false;
    const zero = [one?.zero ?? true, other?.zero ?? true] as const;
    return { at, bytes, zero: statusDiffers ? [true, true] : zero, statusDiffers };
  }

  private async status({ name, image }: Side, at: number, bytes: number): Promise<BlockStatus> {
    try {
      return await statusAbove(image.node.skipFilters(), undefined, at, bytes);
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
      throw new Unreadable(`Sector allocation test failed for ${name}`, exit.statusFailed);
    }
  }

  private differenceIn({ at, bytes, zero, statusDiffers }: Piece, from: Buffers): string | undefined {
    if (statusDiffers) return `Strict mode: Offset ${at} block status mismatch!`;
    const same = this.sameBytes(bytes, zero, from);
    // What differs is told by its sector.
    return same < bytes ? `Content mismatch at offset ${at + roundDown(same, sectorBytes)}!` : undefined;
  }

  /** How far both sides are the same. */
  private sameBytes(bytes: number, [firstIsZero, secondIsZero]: Piece['zero'], [a, b]: Buffers): number {
    if (firstIsZero && secondIsZero) return bytes;
    if (!firstIsZero && !secondIsZero) return this.arena.firstDifference(a, b, bytes);
    const { zero, bytes: run } = this.arena.run(firstIsZero ? b : a, 0, bytes, sectorBytes);
    return zero ? run : 0;
  }

  private async readPiece({ at, bytes, zero }: Piece, into: Buffers): Promise<void> {
    const [first, second] = this.sides;
    await Promise.all([
      zero[0] || this.read(first, into[0], at, bytes),
      zero[1] || this.read(second, into[1], at, bytes),
    ]);
  }

  private async read({ name, image }: Side, buffer: ScanBuffer, at: number, bytes: number): Promise<void> {
    try {
      await image.read(at, buffer.bytes.subarray(0, bytes));
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
      throw new Unreadable(`Error while reading offset ${at} of ${name}: ${error.message}`, exit.readFailed);
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
