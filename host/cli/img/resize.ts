/** `img resize` (specification: cli, section 2). */
import { checkDiskLength } from '../../block/disk-length.ts';
import type { Preallocation } from '../../block/driver.ts';
import { isBeyondSizes, readSize, sizeHint } from '../../qapi/sizes.ts';
import { openImage } from '../shared/open-image.ts';
import type { Tool } from '../shared/tool.ts';
import { checkImageOpts, common, readCommandLine } from './options.ts';

/** Its options, beside `--help`. */
export const specs = [
  common.quiet,
  common.object,
  common.format,
  common.imageOpts,
  { long: 'preallocation', argument: true },
  { long: 'shrink' },
];

interface SizeChange {
  sign: '' | '+' | '-';
  bytes: bigint;
}

export async function run(tool: Tool, argv: string[]): Promise<number> {
  let format: string | undefined;
  let imageOpts = false;
  let quiet = false;
  let shrink = false;
  let preallocation: Preallocation = 'off';
  const operands = await readCommandLine(
    tool,
    argv,
    specs,
    ({ name, value }) => {
      if (name === 'format') format = value;
      else if (name === 'image-opts') imageOpts = true;
      else if (name === 'quiet') quiet = true;
      else if (name === 'shrink') shrink = true;
      else preallocation = parsePreallocation(tool, value);
    },
    { negativeSecondOperand: true },
  );
  const [filename, sizeText, extra] = operands;
  if (filename === undefined || sizeText === undefined) tool.failUsage('Expecting image file name and size');
  if (extra !== undefined) tool.failUsage('Extra argument(s) in command line');
  const change = parseSizeChange(tool, sizeText);
  checkImageOpts(tool, imageOpts, format);
  const graph = await tool.createGraph();
  const source = { name: filename, imageOpts, format };
  const image = await openImage(tool, graph, source, { write: true, resize: true });
  try {
    const length = newLength(tool, image.length, change);
    if (length <= image.length && preallocation !== 'off') {
      tool.fail('Preallocation can only be used for growing images');
    }
    if (length < image.length && !shrink) refuseShrinking(tool);
    await tool.attempt(async () => {
      checkDiskLength(length);
      await image.truncate(Number(length), { preallocation, exact: true });
    });
    if (!quiet) tool.out('Image resized.\n');
    return 0;
  } finally {
    await tool.close([image]);
  }
}

function parsePreallocation(tool: Tool, value: string): Preallocation {
  if (value === 'off' || value === 'metadata' || value === 'falloc' || value === 'full') return value;
  return tool.fail(`Invalid preallocation mode '${value}'`);
}

function parseSizeChange(tool: Tool, text: string): SizeChange {
  const sign = text.startsWith('+') ? '+' : text.startsWith('-') ? '-' : '';
  const amount = text.slice(sign.length);
  const bytes = readSize(amount);
  if (isBeyondSizes(amount)) return tool.fail(`Value '${amount}' is out of range for parameter 'size'`);
  // What is read is a number of 64 bits without a sign, and then taken for one with a sign.
  if (bytes !== undefined) return { sign, bytes: BigInt.asIntN(64, bytes) };
  return tool.fail("Parameter 'size' expects a non-negative number below 2^64", {
    hint: sizeHint,
  });
}

/** In 64 bits, as QEMU counts: what becomes too large becomes negative. */
function newLength(tool: Tool, current: number, { sign, bytes }: SizeChange): bigint {
  const length = sign === '' ? bytes : BigInt(current) + (sign === '+' ? bytes : -bytes);
  const wrapped = BigInt.asIntN(64, length);
  return wrapped > 0 ? wrapped : tool.fail('New image size must be positive');
}

function refuseShrinking(tool: Tool): never {
  tool.report('Use the --shrink option to perform a shrink operation.');
  return tool.fail(
    "warning: Shrinking an image will delete all data beyond the shrunken image's end. " +
      'Before performing such an operation, make sure there is no important data there.',
  );
}
