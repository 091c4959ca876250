/**
 * The chain of a node, and how its nodes stand to each other.
 *
 * The *chain* leads from a node to what a filter passes through or to an image's backing file, and on from there to the
 * bottom. Its *images* are its nodes that are no filters: what the layers of a disk are in the words of users. The
 * *overlay* of an image is the next image above it, whatever filters lie between.
 *
 * All of it is looked up when it is asked for: who goes down a chain and waits on the way sees links as they are then,
 * unless they are frozen.
 */
import type { Edge } from './edge.ts';
import { filenameOf, fullBackingName } from './filename.ts';
import type { BlockNode } from './node.ts';

/** The next node of the chain: what a filter passes through, or the backing file. */
export function nextInChain(node: BlockNode): BlockNode | undefined {
  return node.chainEdge()?.node;
}

/** `top` and what is below it in its chain, from top to bottom; without `end` and what is below that. */
export function* chainFrom(top: BlockNode | undefined, end?: BlockNode): Generator<BlockNode, void> {
  for (let node = top; node && node !== end; node = nextInChain(node)) yield node;
}

/** The links of the chain from `top` down to `base`; to the bottom without one. */
export function chainLinks(top: BlockNode, base: BlockNode | undefined): Edge[] {
  const links: Edge[] = [];
  for (const node of chainFrom(top, base)) {
    const edge = node.chainEdge();
    if (edge) links.push(edge);
  }
  return links;
}

/** The images of the chain of `top`, from top to bottom. A filter without a child counts as one. */
export function* imagesFrom(top: BlockNode): Generator<BlockNode, void> {
  for (const node of chainFrom(top)) if (!node.filtered()) yield node;
}

/** Whether `node` is in the chain of `top`, `top` itself included. */
export function isInChain(top: BlockNode, node: BlockNode): boolean {
  for (const at of chainFrom(top)) if (at === node) return true;
  return false;
}

/** Whether `node` is below `top` in its chain: what `top` does not hold itself may be read from there. */
export function isBelow(top: BlockNode, node: BlockNode): boolean {
  return top !== node && isInChain(top, node);
}

/** The bottom image of the chain of `top`. */
export function bottomImage(top: BlockNode): BlockNode {
  let bottom = top;
  for (const image of imagesFrom(top)) bottom = image;
  return bottom;
}

/** The image of the chain of `top` right above the image that `base` is or filters; undefined when there is none. */
export function findOverlay(top: BlockNode, base: BlockNode): BlockNode | undefined {
  const wanted = base.skipFilters();
  let overlay: BlockNode | undefined;
  for (const image of imagesFrom(top)) {
    if (image === wanted) return overlay;
    overlay = image;
  }
  return undefined;
}

/**
 * The image below the top image that goes by `filename`, by the name of its file or as its overlay names it
 * (specification: jobs, sections 9 and 10).
 */
export function findBackingImage(top: BlockNode, filename: string): BlockNode | undefined {
  let overlay: BlockNode | undefined;
  for (const image of imagesFrom(top)) {
    if (overlay && (filenameOf(image) === filename || namesAsBacking(overlay, filename))) return image;
    overlay = image;
  }
  return undefined;
}

function namesAsBacking(overlay: BlockNode, filename: string): boolean {
  const named = overlay.driver.backing?.filename;
  if (named === undefined) return false;
  return named === filename || fullBackingName(overlay) === filename;
}

/** `node` and everything that it is made of: all children, not only the chain. */
export function nodesFrom(node: BlockNode, found: Set<BlockNode> = new Set()): Set<BlockNode> {
  found.add(node);
  for (const edge of node.children.values()) if (!found.has(edge.node)) nodesFrom(edge.node, found);
  return found;
}
