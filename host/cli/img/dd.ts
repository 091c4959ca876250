/**
 * `img dd`: copies blocks of an image into a new one, which is as long as they are (specification: cli, section 2).
 *
 * Operands are `if=`, `of=`, `bs=`, `count=` and `skip=`. As in QEMU `count` is where to stop, in blocks of the input and
 * not behind `skip`. Zeros are written as any other data. Blocks are how things are counted, not what is read at once.
 */
import { asBlockError, BlockError } from '../../base/errors.ts';
import { wholeSectors } from '../../base/sectors.ts';
import type { BlockBackend } from '../../block/backend.ts';
import { createImage } from '../../block/create.ts';
import type { BlockGraph } from '../../block/graph.ts';
import { runPipeline } from '../../copy/pipeline.ts';
import { parseCount } from '../shared/numbers.ts';
import { openImage } from '../shared/open-image.ts';
import type { Tool } from '../shared/tool.ts';
import { convertCreationOptions } from './creation-options.ts';
import { checkImageOpts, common, parseSizeOption, readCommandLine } from './options.ts';

/** Its options, beside `--help`. */
export const specs = [
  common.object,
  common.format,
  { short: 'O', long: 'output-format', argument: true },
  common.imageOpts,
  common.forceShare,
];

const defaultBlockBytes = 512;
const maxBlockBytes = 2 ** 31 - 1;
/** What is read and written at once. */
const bufferBytes = 2 << 20;
/** One is written, one waits for that, and one is being read. */
const bufferCount = 3;

interface Operands {
  input: string;
  output: string;
  /** Bytes. */
  block: number;
  /** Blocks of the input, from its start; undefined: all. */
  count: number | undefined;
  /** Blocks. */
  skip: number;
}

export async function run(tool: Tool, argv: string[]): Promise<number> {
  let format: string | undefined;
  let outputFormat = 'raw';
  let imageOpts = false;
  let forceShare = false;
  const words = await readCommandLine(tool, argv, specs, ({ name, value }) => {
    if (name === 'format') format = value;
    else if (name === 'output-format') outputFormat = value;
    else if (name === 'image-opts') imageOpts = true;
    else forceShare = true;
  });
  const operands = readOperands(tool, words);
  checkImageOpts(tool, imageOpts, format);
  const graph = await tool.createGraph({ mayBlock: true });
  const source = { name: operands.input, imageOpts, format };
  const opened = [await openImage(tool, graph, source, { forceShare })] as [BlockBackend];
  try {
    const [input] = opened;
    const range = rangeToCopy(tool, operands, wholeSectors(input.length));
    await createOutput(tool, graph, outputFormat, operands.output, range.end - range.start);
    const output = await openImage(
      tool,
      graph,
      { name: operands.output, format: outputFormat },
      { write: true },
    );
    opened.push(output);
    await tool.attempt(() => copy(input, output, range, operands.block));
    return 0;
  } finally {
    await tool.close(opened);
  }
}

function readOperands(tool: Tool, words: readonly string[]): Operands {
  let input: string | undefined;
  let output: string | undefined;
  let block = defaultBlockBytes;
  let count: number | undefined;
  let skip = 0;
  for (const word of words) {
    const [name = ''] = word.split('=', 1);
    const value = word.slice(name.length + 1);
    const known = word.includes('=') ? name : undefined;
    if (known === 'if') input = value;
    else if (known === 'of') output = value;
    else if (known === 'bs') block = parseBlock(tool, value);
    else if (known === 'count') count = parseBlocks(tool, 'count', value);
    else if (known === 'skip') skip = parseBlocks(tool, 'skip', value);
    else tool.fail(`unrecognized operand ${name}`);
  }
  if (input === undefined || output === undefined) tool.fail('Must specify both input and output files');
  return { input, output, block, count, skip };
}

function parseBlock(tool: Tool, text: string): number {
  return parseSizeOption(tool, 'bs', text, { min: 1, max: maxBlockBytes });
}

/** Without a suffix. */
function parseBlocks(tool: Tool, what: string, text: string): number {
  const parsed = parseCount(text);
  if (parsed.ok && parsed.value < 2n ** 63n) return Number(parsed.value);
  if (!parsed.ok && parsed.problem === 'invalid') tool.fail(`Invalid ${what} specified: '${text}'.`);
  return tool.fail(`Invalid ${what} specified. Must be between 0 and 9223372036854775807.`);
}

/** Bytes of the input. */
interface Range {
  start: number;
  end: number;
}

function rangeToCopy(tool: Tool, { input, block, count, skip }: Operands, length: number): Range {
  const end = count === undefined ? length : Math.min(length, count * block);
  const start = skip * block;
  if (start <= end) return { start, end };
  tool.report(`${input}: cannot skip to specified offset`);
  return { start: end, end };
}

async function createOutput(
  tool: Tool,
  graph: BlockGraph,
  format: string,
  filename: string,
  size: number,
): Promise<void> {
  if (!graph.drivers.find(format)) tool.fail('Unknown file format');
  const { size: _none, ...values } = await tool.attempt(async () =>
    convertCreationOptions(graph, { filename, format, list: '' }),
  );
  await tool.attempt(() => createImage(graph, { filename, format, values, size, quiet: true }), {
    context: `${filename}: error while creating output image`,
  });
}

interface Piece {
  /** In the input. */
  at: number;
  bytes: number;
  /** Not all of it could be read. */
  isBroken: boolean;
}

/** Errors: BlockError, which says at which end. */
async function copy(
  input: BlockBackend,
  output: BlockBackend,
  { start, end }: Range,
  block: number,
): Promise<void> {
  const pieceBytes = Math.min(bufferBytes, end - start);
  const buffers = Array.from({ length: bufferCount }, () => new Uint8Array(pieceBytes));
  let position = start;
  await runPipeline<Piece, Uint8Array>(buffers, {
    async next() {
      if (position >= end) return undefined;
      const piece = { at: position, bytes: Math.min(pieceBytes, end - position), isBroken: false };
      position += piece.bytes;
      return piece;
    },
    async read(piece, buffer) {
      try {
        await readPadded(input, piece.at, buffer.subarray(0, piece.bytes));
      } catch (error) {
        asBlockError(error);
        piece.isBroken = true;
      }
    },
    async write({ at, bytes, isBroken }, buffer) {
      if (!isBroken) return writeTo(output, at - start, buffer.subarray(0, bytes));
      await copyUpToFailure(input, output, { start: at, end: at + bytes, block, to: at - start });
    },
  });
}

/** Block by block: the output holds what is before the one that cannot be read. */
async function copyUpToFailure(
  input: BlockBackend,
  output: BlockBackend,
  { start, end, block, to }: Range & { block: number; to: number },
): Promise<void> {
  const buffer = new Uint8Array(Math.min(block, end - start));
  for (let at = start; at < end; at += buffer.length) {
    const part = buffer.subarray(0, end - at);
    await within('error while reading from input image file', () => readPadded(input, at, part));
    await writeTo(output, to + at - start, part);
  }
}

function writeTo(output: BlockBackend, offset: number, part: Uint8Array): Promise<void> {
  return within('error while writing to output image file', () => output.write(offset, part));
}

/** The last sector of the input may be shorter than others: the rest of it is zeros. */
function readPadded(input: BlockBackend, offset: number, part: Uint8Array): Promise<void> {
  const present = Math.min(part.length, input.length - offset);
  part.fill(0, present);
  return input.read(offset, part.subarray(0, present));
}

async function within(context: string, act: () => Promise<void>): Promise<void> {
  try {
    await act();
  } catch (error) {
    throw error instanceof BlockError ? asBlockError(error).within(context) : error;
  }
}
