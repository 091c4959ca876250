/** Which image of a chain a file name means (specification: jobs, sections 9 and 10). */
import { filenameOf, resolveBackingName } from './filename.ts';
import type { BlockNode } from './node.ts';

/** The backing image of `top` that goes by `filename`, by the name of its file or as its overlay names it. */
export function findBackingImage(top: BlockNode, filename: string): BlockNode | undefined {
  let overlay = top.skipFilters();
  for (let node = overlay.backing()?.skipFilters(); node; node = node.backing()?.skipFilters()) {
    if (filenameOf(node) === filename || names(overlay, filename)) return node;
    overlay = node;
  }
  return undefined;
}

function names(overlay: BlockNode, filename: string): boolean {
  const named = overlay.driver.backing?.filename;
  if (named === undefined) return false;
  return named === filename || resolveBackingName(overlay, named) === filename;
}

/** The image of the chain from `top` whose backing image is `base`; the last one without a base. */
export function findOverlay(top: BlockNode, base: BlockNode | undefined): BlockNode | undefined {
  const wanted = base?.skipFilters();
  for (let node: BlockNode | undefined = top.skipFilters(); node; node = node.backing()?.skipFilters()) {
    if (node.backing()?.skipFilters() === wanted) return node;
  }
  return undefined;
}
