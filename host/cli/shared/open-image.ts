/**
 * Opening images as the tools do: by file name or, with `--image-opts`, by an option string.
 */
import { withoutUndefined } from '../../base/without-undefined.ts';
import { BlockBackend } from '../../block/backend.ts';
import type { BlockGraph } from '../../block/graph.ts';
import type { BlockNode } from '../../block/node.ts';
import type { OpenFlags } from '../../block/open-context.ts';
import type { NodeOptions } from '../../block/options.ts';
import { Perm } from '../../block/permissions.ts';
import { parseJsonFilename } from '../../qapi/json-filename.ts';
import type { CacheMode } from './cache-mode.ts';
import { parseImageOptions } from './image-options.ts';
import { refuseOptionsBesideNames } from './node-references.ts';
import type { Tool } from './tool.ts';

export interface ImageSource {
  /** File name, or with `imageOpts` an option string. */
  name: string;
  imageOpts?: boolean;
  /** What a first item without a name is a value of, in an option string. */
  implicitName?: string;
  format?: string | undefined;
}

interface OpenImageOptions {
  flags?: Partial<OpenFlags>;
  cache?: CacheMode;
  forceShare?: boolean;
  /** Open for writing. */
  write?: boolean;
  resize?: boolean;
  noBacking?: boolean;
  /** Options of the node that count whatever its description says. */
  override?: NodeOptions;
  /** Nobody else may write to it meanwhile, whatever its format. */
  exclusive?: boolean;
}

/** Opens an image for one user. Closing the backend closes the image. Errors: BlockError without context. */
export async function openBackend(
  graph: BlockGraph,
  source: ImageSource,
  options: OpenImageOptions,
  tool: Tool,
): Promise<BlockBackend> {
  const write = options.write === true;
  const flags: Partial<OpenFlags> = {
    ...options.cache?.flags,
    ...options.flags,
    readOnly: !write,
    forceShare: options.forceShare === true,
  };
  const noBacking = options.noBacking === true;
  const given = optionsIn(source, tool);
  refuseOptionsBesideNames(given, noBacking);
  const node = source.imageOpts
    ? await graph.open({ ...given, ...options.override }, flags, noBacking)
    : await graph.openFile(source.name, {
        flags,
        options: options.override ?? {},
        noBacking,
        ...withoutUndefined({ format: source.format }),
      });
  return attachUser(node, options);
}

/** Hands the caller's reference to the node over to one user, as `openBackend` does. Errors: a permission conflict. */
export async function attachUser(node: BlockNode, options: OpenImageOptions): Promise<BlockBackend> {
  try {
    const backend = await BlockBackend.attach(node, {
      name: 'root',
      description: 'an unnamed block device',
      perm: Perm.consistentRead | (options.write ? Perm.write : 0) | (options.resize ? Perm.resize : 0),
      shared: options.exclusive && !options.forceShare ? Perm.all & ~(Perm.write | Perm.resize) : Perm.all,
    });
    backend.writethrough = options.cache?.writethrough === true;
    return backend;
  } finally {
    await node.graph.unref(node);
  }
}

/** What is said of the image beside where it is. */
function optionsIn({ name, imageOpts, implicitName }: ImageSource, tool: Tool): NodeOptions {
  if (imageOpts) return parseImageOptions(name, tool, implicitName);
  return name.startsWith('json:') ? parseJsonFilename(name) : {};
}

/** The same for a tool that ends when it cannot: `Could not open 'F': …`. */
export function openImage(
  tool: Tool,
  graph: BlockGraph,
  source: ImageSource,
  options: OpenImageOptions & { status?: number } = {},
): Promise<BlockBackend> {
  return tool.attempt(() => openBackend(graph, { implicitName: 'file', ...source }, options, tool), {
    context: `Could not open '${source.name}'`,
    ...withoutUndefined({ status: options.status }),
  });
}
