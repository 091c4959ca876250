/**
 * Which images the arguments of block-commit mean (specification: jobs, section 9). The order of the checks is QEMU's.
 */
import { invalid } from '../../base/errors.ts';
import { bottomImage, chainFrom, findBackingImage, isInChain } from '../../block/chain.ts';
import { filenameOf } from '../../block/filename.ts';
import type { BlockGraph } from '../../block/graph.ts';
import type { BlockNode } from '../../block/node.ts';
import { cumulativePermissions, Perm } from '../../block/permissions.ts';
import type { CommitArguments } from './options.ts';

interface CommitChoice {
  /** The image whose data goes down, with that of all between. */
  top: BlockNode;
  /** The image that gets it. */
  base: BlockNode;
  /** Somebody writes to the top: it must be followed until it gives way. */
  isActive: boolean;
}

/** `device` is the root of the chain. Throws QEMU's words. */
export function chooseCommit(graph: BlockGraph, device: BlockNode, options: CommitArguments): CommitChoice {
  device.opBlockers.check('commit-source');
  const top = chooseTop(graph, device, options);
  const base = chooseBase(graph, device, top, options);
  checkChain(top, base);
  if (top === base) throw invalid('cannot commit an image into itself');
  const isDevice = top.skipFilters() === device.skipFilters();
  const isActive = isDevice || (cumulativePermissions(top).perm & Perm.write) !== 0;
  if (isActive && options['backing-file'] !== undefined) {
    throw invalid(
      isDevice
        ? "'backing-file' specified, but 'top' is the active layer"
        : "'backing-file' specified, but 'top' has a writer on it",
    );
  }
  return { top, base, isActive };
}

function chooseTop(graph: BlockGraph, device: BlockNode, options: CommitArguments): BlockNode {
  const { 'top-node': nodeName, top: filename } = options;
  if (nodeName !== undefined && filename !== undefined) {
    throw invalid("'top-node' and 'top' are mutually exclusive");
  }
  if (nodeName !== undefined) return nodeInChain(graph, device, nodeName);
  if (filename === undefined || filename === filenameOf(device)) return device;
  const found = findBackingImage(device, filename);
  if (!found) throw invalid(`Top image file ${filename} not found`);
  return found;
}

function chooseBase(
  graph: BlockGraph,
  device: BlockNode,
  top: BlockNode,
  options: CommitArguments,
): BlockNode {
  const { 'base-node': nodeName, base: filename } = options;
  if (nodeName !== undefined && filename !== undefined) {
    throw invalid("'base-node' and 'base' are mutually exclusive");
  }
  if (nodeName !== undefined) return nodeInChain(graph, top, nodeName);
  if (filename !== undefined) {
    const found = findBackingImage(top, filename);
    if (!found) throw invalid(`Can't find '${filename}' in the backing chain`);
    return found;
  }
  return bottomImage(device);
}

function nodeInChain(graph: BlockGraph, top: BlockNode, name: string): BlockNode {
  const node = graph.lookup(undefined, name);
  if (!isInChain(top, node)) throw invalid(`'${name}' is not in this backing file chain`);
  return node;
}

function checkChain(top: BlockNode, base: BlockNode): void {
  for (const node of chainFrom(top)) {
    node.opBlockers.check('commit-target');
    if (node === base) return;
  }
}
