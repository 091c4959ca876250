/**
 * What a name means in a backing chain (specification: graph, section 6): whether a backing file that an image is to
 * have rests on the image itself, and which image of a chain a user means. Names are seen from the folder of the image
 * that has them or above which they stand; files are told apart by what the system says, not by their names.
 */
import { statSync } from 'node:fs';
import { BlockError } from '../../base/errors.ts';
import { imagesFrom } from '../../block/chain.ts';
import { filenameOf, resolveBackingName } from '../../block/filename.ts';
import type { BlockGraph } from '../../block/graph.ts';
import type { BlockNode } from '../../block/node.ts';

interface NamedImage {
  name: string;
  format: string | undefined;
}

/** The image below the top image that goes by `name`, which is seen from the folder of the top image. */
export function findNamedImage(top: BlockNode, name: string): BlockNode | undefined {
  const [first, ...below] = imagesFrom(top);
  const wanted = name === '' || !first ? undefined : identityBeside(first, name);
  return below.find((image) => {
    const own = fileIdentity(storageName(image));
    return own === undefined ? filenameOf(image) === name : own === wanted;
  });
}

/**
 * The name under which the chain that begins with `first` leads to the file of `image`; undefined when it does not.
 * For those who do not open the chain, and for whom no lock speaks against it. It goes down the names in headers, as far
 * as they can be read.
 */
export async function findInChain(image: BlockNode, first: NamedImage): Promise<string | undefined> {
  const own = fileIdentity(storageName(image));
  const seen = new Set<string>();
  for (let next: NamedImage | undefined = first; own !== undefined && next && !seen.has(next.name); ) {
    if (fileIdentity(next.name) === own) return next.name;
    seen.add(next.name);
    next = await namedBacking(image.graph, next);
  }
  return undefined;
}

/** What an image says that its backing file is. Undefined: nothing, or it cannot be asked. */
async function namedBacking(
  graph: BlockGraph,
  { name, format }: NamedImage,
): Promise<NamedImage | undefined> {
  const flags = { readOnly: true, noIo: true, forceShare: true };
  const known = format !== undefined && graph.drivers.find(format) ? { format } : {};
  try {
    const node = await graph.openFile(name, { flags, noBacking: true, ...known });
    try {
      const { backing } = node.driver;
      return backing && { name: resolveBackingName(node, backing.filename), format: backing.format };
    } finally {
      await graph.unref(node);
    }
  } catch (error) {
    // What is wrong with it is for whoever opens it.
    if (error instanceof BlockError) return undefined;
    throw error;
  }
}

/** As `fileIdentity`; undefined, too, where no folder is known that the name could be seen from. */
function identityBeside(image: BlockNode, name: string): string | undefined {
  try {
    return fileIdentity(resolveBackingName(image, name));
  } catch (error) {
    if (error instanceof BlockError) return undefined;
    throw error;
  }
}

/** The name of the file at the bottom of what stores the image. */
function storageName(image: BlockNode): string {
  let storage = image;
  for (let edge = image.primaryChild(); edge; edge = storage.primaryChild()) storage = edge.node;
  const { filename } = storage.options;
  return typeof filename === 'string' ? filename : '';
}

/** Equal for names of one file; undefined for what is no file of this system. */
function fileIdentity(name: string): string | undefined {
  try {
    const { dev, ino } = statSync(name, { bigint: true });
    return `${dev}:${ino}`;
  } catch {
    return undefined;
  }
}
