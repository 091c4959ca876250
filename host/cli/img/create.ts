/** `img create` (specification: cli, section 2). */
import { invalid } from '../../base/errors.ts';
import { withoutUndefined } from '../../base/without-undefined.ts';
import { createImage } from '../../block/create.ts';
import type { BlockGraph } from '../../block/graph.ts';
import type { Tool } from '../shared/tool.ts';
import { addOptionList, convertExactly, isHelpWanted, printCreationOptions } from './creation-options.ts';
import { common, parseExactSizeOption, readCommandLine } from './options.ts';

/** Its options, beside `--help`. */
export const specs = [
  common.quiet,
  common.object,
  common.format,
  { short: 'b', long: 'backing', argument: true },
  { short: 'F', long: 'backing-format', argument: true },
  { short: 'u', long: 'backing-unsafe' },
  { short: 'o', long: 'options', argument: true },
];

interface Wanted {
  filename: string;
  format: string;
  options: string | undefined;
  size: bigint | undefined;
  backingFile: string | undefined;
  backingFormat: string | undefined;
  unsafe: boolean;
  quiet: boolean;
}

export async function run(tool: Tool, argv: string[]): Promise<number> {
  let format = 'raw';
  let options: string | undefined;
  let backingFile: string | undefined;
  let backingFormat: string | undefined;
  let unsafe = false;
  let quiet = false;
  const operands = await readCommandLine(tool, argv, specs, ({ name, value }) => {
    if (name === 'format') format = value;
    else if (name === 'backing') backingFile = value;
    else if (name === 'backing-format') backingFormat = value;
    else if (name === 'options') options = addOptionList(tool, options, value);
    else if (name === 'backing-unsafe') unsafe = true;
    else quiet = true;
  });
  const [filename, sizeText, extra] = operands;
  if (options !== undefined && isHelpWanted(options)) {
    const graph = await tool.createGraph();
    return printCreationOptions(tool, graph, format, filename);
  }
  if (filename === undefined) tool.failUsage('Expecting image file name');
  const size = sizeText === undefined ? undefined : parseExactSizeOption(tool, 'image size', sizeText);
  if (extra !== undefined) tool.failUsage(`Unexpected argument: ${extra}`);
  const graph = await tool.createGraph({ quiet });
  const wanted = { filename, format, options, size, backingFile, backingFormat, unsafe, quiet };
  await tool.attempt(() => create(graph, wanted), { context: filename });
  return 0;
}

async function create(graph: BlockGraph, wanted: Wanted): Promise<void> {
  const { filename, format, options, size, backingFile, backingFormat, unsafe, quiet } = wanted;
  const { values: given, exact } = await convertExactly(graph, { filename, format, list: options ?? '' });
  const { size: givenSize, ...values } = given;
  if (size !== undefined && givenSize !== undefined) {
    throw invalid('The image size must be specified only once');
  }
  const total = size === undefined ? (givenSize as number | undefined) : Number(size);
  if (size !== undefined) exact['size'] = size;
  await createImage(graph, {
    filename,
    format,
    values,
    exact,
    unsafe,
    quiet,
    ...withoutUndefined({ size: total, backingFile, backingFormat }),
  });
}
