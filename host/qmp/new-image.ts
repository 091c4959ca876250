/** Image files that commands make to be like a node: targets of jobs, overlays of snapshots. */
import { invalid } from '../base/errors.ts';
import { createImage } from '../block/create.ts';
import { filenameOf } from '../block/filename.ts';
import type { BlockGraph } from '../block/graph.ts';
import type { BlockNode } from '../block/node.ts';
import { enumeration } from '../qapi/types.ts';

export const newImageMode = enumeration('NewImageMode', ['existing', 'absolute-paths']);

interface NewImage {
  filename: string;
  format: string | undefined;
  /** Gives the size. */
  source: BlockNode;
  /** Whose file becomes the backing file. */
  backing: BlockNode | undefined;
  /** Do not look whether the backing file can be opened by the name that the new image gets for it. */
  unsafe?: boolean;
}

/** Makes the image and prints its `Formatting …` line. Errors: those of creation. */
export async function createImageLike(graph: BlockGraph, image: NewImage): Promise<void> {
  const { filename, format, source, unsafe = false } = image;
  if (format === undefined) throw invalid("Parameter 'format' is missing");
  const backing = image.backing?.skipImplicit();
  await createImage(graph, {
    filename,
    format,
    size: source.length,
    unsafe,
    ...(backing ? { backingFile: filenameOf(backing), backingFormat: backing.definition.name } : {}),
  });
}
