/** `img info`: one image, or with `--backing-chain` all that it rests on (specification: cli, sections 2 and 3). */
import type { BlockGraph } from '../../block/graph.ts';
import { formatPrettyJson } from '../../qapi/json-output.ts';
import { humanInfoWithChildren } from '../shared/human-info.ts';
import { describeImage, type ImageInfo, imageInfoJson } from '../shared/image-info.ts';
import type { ImageSource } from '../shared/open-image.ts';
import { openImage } from '../shared/open-image.ts';
import type { Tool } from '../shared/tool.ts';
import { checkImageOpts, common, type OutputFormat, parseOutputFormat, readCommandLine } from './options.ts';

/** Its options, beside `--help`. */
export const specs = [
  common.format,
  common.output,
  { short: 'b', long: 'backing-chain' },
  common.object,
  common.imageOpts,
  common.forceShare,
];

export async function run(tool: Tool, argv: string[]): Promise<number> {
  let format: string | undefined;
  let output: OutputFormat = 'human';
  let imageOpts = false;
  let forceShare = false;
  let chain = false;
  const operands = await readCommandLine(tool, argv, specs, ({ name, value }) => {
    if (name === 'format') format = value;
    else if (name === 'output') output = parseOutputFormat(tool, value);
    else if (name === 'image-opts') imageOpts = true;
    else if (name === 'force-share') forceShare = true;
    else chain = true;
  });
  if (operands.length !== 1) tool.failUsage('Expecting one image file name');
  checkImageOpts(tool, imageOpts, format);
  const graph = await tool.createGraph();
  const source: ImageSource = { name: operands[0]!, imageOpts, format }; // checked above
  const images = await collect(tool, graph, source, { chain, forceShare });
  if ((output as OutputFormat) === 'json') {
    const described = images.map(imageInfoJson);
    tool.out(`${formatPrettyJson(chain ? described : described[0])}\n`);
  } else {
    tool.out(images.map(humanInfoWithChildren).join('\n'));
  }
  return 0;
}

/** Every image is opened by itself, without its backing file, so that a broken chain is told about up to the break. */
async function collect(
  tool: Tool,
  graph: BlockGraph,
  source: ImageSource,
  options: { chain: boolean; forceShare: boolean },
): Promise<ImageInfo[]> {
  const images: ImageInfo[] = [];
  const seen = new Set<string>();
  let next: ImageSource | undefined = source;
  while (next) {
    const { name } = next;
    if (seen.has(name)) tool.fail(`Backing file '${name}' creates an infinite loop.`);
    seen.add(name);
    const image = await openImage(tool, graph, next, {
      flags: { noIo: true },
      noBacking: true,
      forceShare: options.forceShare,
    });
    let info: ImageInfo;
    try {
      info = await tool.attempt(() => describeImage(image.node));
    } finally {
      await image.close();
    }
    images.push(info);
    const backing: string | undefined = info['full-backing-filename'];
    next =
      options.chain && backing !== undefined
        ? { name: backing, format: info['backing-filename-format'] }
        : undefined;
  }
  return images;
}
