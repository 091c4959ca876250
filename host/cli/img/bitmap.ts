/**
 * `img bitmap`: makes, removes and changes a persistent dirty bitmap of an image, by operations that are done in the
 * order given (specification: cli, section 2).
 *
 * The image holds what was done when it closes; an operation that fails ends the command, and those before it count.
 */
import { asBlockError } from '../../base/errors.ts';
import { mergeBitmaps } from '../../bitmaps/dirty-bitmap.ts';
import { bitmapsOf } from '../../bitmaps/node-bitmaps.ts';
import { bitmapKeeper, lostBitmaps } from '../../bitmaps/persistence.ts';
import type { BlockBackend } from '../../block/backend.ts';
import type { BlockNode } from '../../block/node.ts';
import { openImage } from '../shared/open-image.ts';
import type { Tool } from '../shared/tool.ts';
import { checkImageOpts, common, parseSizeOption, readCommandLine } from './options.ts';

const operationSpecs = [
  { long: 'add' },
  { long: 'remove' },
  { long: 'clear' },
  { long: 'enable' },
  { long: 'disable' },
  { long: 'merge', argument: true },
];

/** Its options, beside `--help`. */
export const specs = [
  common.object,
  common.imageOpts,
  ...operationSpecs,
  { short: 'g', long: 'granularity', argument: true },
  { short: 'b', long: 'source-file', argument: true },
  { short: 'F', long: 'source-format', argument: true },
  // Without a long name, as in QEMU.
  { short: 'f', argument: true },
];

interface Operation {
  name: string;
  /** The bitmap that `--merge` names. */
  source: string;
}

interface Wanted {
  format: string | undefined;
  imageOpts: boolean;
  operations: Operation[];
  sourceFile: string | undefined;
  sourceFormat: string | undefined;
  /** Bytes; 0: the image decides. */
  granularity: number | undefined;
}

export async function run(tool: Tool, argv: string[]): Promise<number> {
  const wanted: Wanted = {
    format: undefined,
    imageOpts: false,
    operations: [],
    sourceFile: undefined,
    sourceFormat: undefined,
    granularity: undefined,
  };
  const operands = await readCommandLine(tool, argv, specs, ({ name, value }) => {
    if (name === 'f') wanted.format = value;
    else if (name === 'image-opts') wanted.imageOpts = true;
    else if (name === 'source-file') wanted.sourceFile = value;
    else if (name === 'source-format') wanted.sourceFormat = value;
    else if (name === 'granularity') wanted.granularity = parseSizeOption(tool, 'granularity', value);
    else wanted.operations.push({ name, source: value });
  });
  checkCombination(tool, wanted);
  const [filename, bitmap, extra] = operands;
  if (filename === undefined || bitmap === undefined || extra !== undefined) {
    tool.fail('Expecting filename and bitmap name');
  }
  const { imageOpts, format, sourceFile } = wanted;
  checkImageOpts(tool, imageOpts, format);
  const graph = await tool.createGraph();
  const opened: BlockBackend[] = [];
  try {
    // Backing files have nothing to say, and may be missing, or be the other one of the two images.
    const image = await openImage(
      tool,
      graph,
      { name: filename, imageOpts, format },
      {
        write: true,
        noBacking: true,
      },
    );
    opened.push(image);
    const { node } = image;
    let source = node;
    if (sourceFile !== undefined) {
      const described = { name: sourceFile, format: wanted.sourceFormat };
      const other = await openImage(tool, graph, described, { noBacking: true });
      opened.push(other);
      source = other.node;
    }
    for (const operation of wanted.operations) {
      await tool.attempt(
        () => perform(operation, { node, bitmap, source, granularity: wanted.granularity }),
        {
          context: `Operation ${operation.name} on bitmap ${bitmap} failed`,
        },
      );
    }
    await storeBitmaps(tool, node);
    return 0;
  } finally {
    await tool.close(opened);
  }
}

/** What cannot be stored is told here, and once more when the image closes. */
async function storeBitmaps(tool: Tool, node: BlockNode): Promise<void> {
  try {
    await bitmapKeeper.beforeInactive(node);
  } catch (error) {
    tool.report(lostBitmaps(node, asBlockError(error)));
    tool.fail('Error while closing the image: Invalid argument');
  }
}

function checkCombination(tool: Tool, wanted: Wanted): void {
  const { operations, granularity, sourceFile, sourceFormat } = wanted;
  const has = (wantedName: string): boolean => operations.some(({ name }) => name === wantedName);
  if (operations.length === 0) {
    tool.fail('Need at least one of --add, --remove, --clear, --enable, --disable, or --merge');
  }
  if (granularity !== undefined && !has('add')) tool.fail('granularity only supported with --add');
  if (sourceFormat !== undefined && sourceFile === undefined) tool.fail('-F only supported with -b');
  if (sourceFile !== undefined && !has('merge')) {
    tool.fail('Merge bitmap source file only supported with --merge');
  }
}

interface Subject {
  node: BlockNode;
  /** Its bitmap, by name. */
  bitmap: string;
  /** What `--merge` names a bitmap of. */
  source: BlockNode;
  granularity: number | undefined;
}

/** Errors: BlockError in the words of the QMP commands. */
async function perform({ name, source }: Operation, subject: Subject): Promise<void> {
  const bitmaps = bitmapsOf(subject.node);
  if (name === 'add') {
    bitmaps.add(subject.bitmap, { granularity: granularityToAdd(subject.granularity), persistent: true });
    return;
  }
  const bitmap = bitmaps.get(subject.bitmap);
  switch (name) {
    case 'remove':
      bitmap.check('remove');
      await bitmaps.removeStored(bitmap);
      return bitmaps.remove(bitmap);
    case 'clear':
      bitmap.check('modify');
      return void bitmap.clear();
    case 'merge':
      return void mergeBitmaps(bitmap, [bitmapsOf(subject.source).get(source)]);
    default:
      bitmap.check('toggle');
      bitmap.disabled = name === 'disable';
  }
}

/** 0 is as good as nothing; what 32 bits do not hold is no granularity. */
function granularityToAdd(given: number | undefined): number | undefined {
  if (!given) return undefined;
  return given < 2 ** 32 ? given : 0;
}
