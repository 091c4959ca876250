/** `img map`: which parts of a disk are where in the chain of its images (specification: cli, sections 2 and 3). */
import { BlockError } from '../../base/errors.ts';
import { after, type MaybePromise } from '../../base/maybe-promise.ts';
import { filenameOf } from '../../block/filename.ts';
import type { BlockNode } from '../../block/node.ts';
import { type BlockStatus, statusAbove } from '../../block/status.ts';
import { isRaw, statusThroughRaw } from '../../block/status-through-raw.ts';
import { openImage } from '../shared/open-image.ts';
import type { Tool } from '../shared/tool.ts';
import {
  checkImageOpts,
  common,
  type OutputFormat,
  parseExactSizeOption,
  parseOutputFormat,
  parseSizeOption,
  readCommandLine,
} from './options.ts';

/** Its options, beside `--help`. */
export const specs = [
  common.format,
  common.output,
  common.object,
  common.imageOpts,
  common.forceShare,
  { short: 's', long: 'start-offset', argument: true },
  { short: 'l', long: 'max-length', argument: true },
];

type Entry = Pick<
  BlockStatus,
  'bytes' | 'data' | 'zero' | 'compressed' | 'allocated' | 'depth' | 'offset' | 'file'
>;

export async function run(tool: Tool, argv: string[]): Promise<number> {
  let format: string | undefined;
  let output: OutputFormat = 'human';
  let imageOpts = false;
  let forceShare = false;
  let exactStart = 0n;
  let maxLength = Number.POSITIVE_INFINITY;
  const operands = await readCommandLine(tool, argv, specs, ({ name, value }) => {
    if (name === 'format') format = value;
    else if (name === 'output') output = parseOutputFormat(tool, value);
    else if (name === 'image-opts') imageOpts = true;
    else if (name === 'force-share') forceShare = true;
    else if (name === 'start-offset') exactStart = parseExactSizeOption(tool, 'start offset', value);
    else maxLength = parseSizeOption(tool, 'max length', value);
  });
  if (operands.length !== 1) tool.failUsage('Expecting one image file name');
  checkImageOpts(tool, imageOpts, format);
  const graph = await tool.createGraph();
  const image = await openImage(tool, graph, { name: operands[0]!, imageOpts, format }, { forceShare }); // checked above
  const lines = new Lines(tool);
  try {
    const start = Number(exactStart);
    // What a double does not hold of it is only shown.
    const rest = exactStart - BigInt(start);
    const print = (output as OutputFormat) === 'human' ? humanPrinter(tool, lines) : jsonPrinter(lines, rest);
    await printEntries(image.node, start, Math.min(image.length, start + maxLength), print);
    lines.flush();
    return 0;
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
    lines.flush();
    return tool.fail(`Could not read file metadata: ${error.message}`);
  } finally {
    await image.close();
  }
}

/** What is complete is printed before the next is asked for, which may fail. Of nothing there is an entry, too. */
async function printEntries(node: BlockNode, start: number, end: number, print: Print): Promise<void> {
  let first = start;
  let last: Entry = { bytes: 0, depth: 0, allocated: false, data: false, zero: false, compressed: false };
  for (let at = start; at < end; at = first + last.bytes) {
    const found = entryAt(node, at, end - at);
    // There may be millions, and most are there at once.
    const entry = found instanceof Promise ? await found : found;
    if (last.bytes > 0 && continues(last, entry)) {
      last.bytes += entry.bytes;
    } else {
      if (last.bytes > 0) print(first, last, false);
      first = at;
      last = entry;
    }
  }
  print(first, last, true);
}

function entryAt(node: BlockNode, at: number, bytes: number): MaybePromise<Entry> {
  const top = node.skipFilters();
  const status = isRaw(top) ? statusThroughRaw(top, at, bytes) : statusAbove(top, undefined, at, bytes);
  return after(status, entryOf);
}

function entryOf(status: BlockStatus): Entry {
  // The layer above is told for what a shorter one does not reach.
  return status.behindEnd ? { ...status, allocated: false, depth: status.depth - 1 } : status;
}

function continues(one: Entry, next: Entry): boolean {
  return (
    one.zero === next.zero &&
    one.data === next.data &&
    one.compressed === next.compressed &&
    one.allocated === next.allocated &&
    one.depth === next.depth &&
    one.file === next.file &&
    (one.offset === undefined ? next.offset === undefined : one.offset + one.bytes === next.offset)
  );
}

/** Output that goes out in larger pieces than lines: there may be millions of them. */
class Lines {
  private text = '';

  constructor(private readonly tool: Tool) {}

  add(text: string): void {
    this.text += text;
    if (this.text.length >= flushedLength) this.flush();
  }

  flush(): void {
    if (this.text !== '') this.tool.out(this.text);
    this.text = '';
  }
}

const flushedLength = 32_768;

/** A byte offset or length in decimal, all of its digits. */
function decimal(value: number): string {
  return (Number.isSafeInteger(value) ? value : BigInt(value)).toString();
}

type Print = (start: number, entry: Entry, last: boolean) => void;

/** Only what is stored, and where: data that is nowhere by itself cannot be shown. */
function humanPrinter(tool: Tool, lines: Lines): Print {
  lines.add(`${'Offset'.padEnd(16)}${'Length'.padEnd(16)}${'Mapped to'.padEnd(16)}File\n`);
  const column = (value: number): string => (value === 0 ? '0' : `0x${value.toString(16)}`).padEnd(16);
  return (start, { bytes, data, zero, offset, file }) => {
    if (!data || zero) return;
    if (offset === undefined) {
      lines.flush();
      tool.fail('File contains external, encrypted or compressed clusters.');
    }
    const name = file ? filenameOf(file) : '';
    lines.add(`${column(start)}${column(bytes)}${column(offset)}${name}\n`);
  };
}

function jsonPrinter(lines: Lines, startRest: bigint): Print {
  lines.add('[');
  return (start, { bytes, depth, allocated, zero, data, compressed, offset }, last) => {
    const where = offset === undefined ? '' : `, "offset": ${decimal(offset)}`;
    const from = startRest === 0n ? decimal(start) : BigInt(start) + startRest;
    lines.add(
      `{ "start": ${from}, "length": ${decimal(bytes)}, "depth": ${depth}, "present": ${allocated}, ` +
        `"zero": ${zero}, "data": ${data}, "compressed": ${compressed === true}${where}}${last ? ']\n' : ',\n'}`,
    );
  };
}
