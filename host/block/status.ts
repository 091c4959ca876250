/**
 * Block status: what a node knows about a range without reading it (specification: graph, section 9).
 *
 * One layer at a time or down a chain. Extents may come back shorter than they are: callers loop and merge.
 */
import { blockStatus as blockStatusEvent } from '../trace/events.ts';
import { measure } from '../trace/measure.ts';
import { chainFrom, nextInChain } from './chain.ts';
import type { Extent } from './driver.ts';
import type { BlockNode } from './node.ts';

/** What is known of a range that begins at some offset, and how long it is so. */
export interface BlockStatus {
  /** > 0 unless nothing was asked for. */
  bytes: number;
  data: boolean;
  /** Reads as zeros. */
  zero: boolean;
  /** This layer decides the content. */
  allocated: boolean;
  /** Where the bytes are in `file`. */
  offset?: number;
  file?: BlockNode;
  eof: boolean;
  /** How many backing links below the node that was asked. */
  depth: number;
  compressed?: boolean;
  /** Zeros where the layer is shorter than the one above it. */
  behindEnd?: boolean;
}

/** `wantZero` false: do not ask the host's file system about holes; everything stored may then count as data. */
export function blockStatus(
  node: BlockNode,
  offset: number,
  bytes: number,
  wantZero = true,
): Promise<BlockStatus> {
  return blockStatusEvent.enabled
    ? watchedStatus(node, offset, bytes, wantZero)
    : findStatus(node, offset, bytes, wantZero);
}

/** As `findStatus`; whoever watches is told what was found. */
function watchedStatus(
  node: BlockNode,
  offset: number,
  bytes: number,
  wantZero: boolean,
): Promise<BlockStatus> {
  const flags = wantZero ? 'zeros' : 'none';
  const told = { node: node.name, offset, bytes, flags, extent: 0, status: 'none' };
  return measure(blockStatusEvent, told, async () => {
    const status = await findStatus(node, offset, bytes, wantZero);
    told.extent = status.bytes;
    told.status = statusWords.filter((word) => status[word]).join() || 'none';
    return status;
  });
}

const statusWords = ['data', 'zero', 'allocated', 'compressed', 'eof'] as const;

async function findStatus(
  node: BlockNode,
  offset: number,
  bytes: number,
  wantZero: boolean,
): Promise<BlockStatus> {
  const { length } = node;
  if (offset >= length) return { bytes, data: false, zero: false, allocated: false, eof: true, depth: 0 };
  const asked = Math.min(bytes, length - offset);
  const status = await layerStatus(node, offset, asked, wantZero);
  if (offset + status.bytes >= length) status.eof = true;
  return status;
}

async function layerStatus(
  node: BlockNode,
  offset: number,
  bytes: number,
  wantZero: boolean,
): Promise<BlockStatus> {
  const { driver } = node;
  if (!driver.map) {
    await driver.checkStatus?.(offset, bytes);
    const below = node.filtered();
    if (below) return blockStatus(below, offset, bytes, wantZero);
    return { bytes, data: true, zero: false, allocated: true, eof: false, depth: 0 };
  }
  const extent = await driver.map(offset, bytes, { wantZero });
  switch (extent.type) {
    case 'data':
      if (!driver.mayHaveHoles) return storedStatus(extent, wantZero);
      return { ...(await storedStatus(extent, wantZero && (await driver.mayHaveHoles()))), data: true };
    case 'zero':
      return {
        ...located(extent.child?.node, extent.offset),
        bytes: extent.bytes,
        data: false,
        zero: true,
        allocated: true,
        eof: false,
        depth: 0,
      };
    case 'unallocated':
      return unallocatedStatus(node, offset, extent.bytes);
    case 'special':
      return {
        bytes: extent.bytes,
        data: true,
        zero: false,
        allocated: true,
        eof: false,
        depth: 0,
        compressed: true,
      };
    case 'own': {
      const isHole = extent.hole ?? extent.zero;
      const allocated = !isHole || extent.zero;
      return {
        bytes: extent.bytes,
        data: !isHole,
        zero: extent.zero,
        allocated,
        // What several children hold together has no place that could be told.
        ...(node.children.size === 0 && allocated ? { offset, file: node } : {}),
        eof: false,
        depth: 0,
      };
    }
  }
}

function located(
  file: BlockNode | undefined,
  offset: number | undefined,
): Pick<BlockStatus, 'file' | 'offset'> {
  return file === undefined || offset === undefined ? {} : { file, offset };
}

/** Data in a child: the child may know that part of it is a hole. */
async function storedStatus(extent: Extent & { type: 'data' }, wantZero: boolean): Promise<BlockStatus> {
  const { child, offset, bytes } = extent;
  const status: BlockStatus = {
    bytes,
    data: true,
    zero: false,
    allocated: true,
    offset,
    file: child.node,
    eof: false,
    depth: 0,
  };
  if (!wantZero) {
    if (child.role === 'filtered') await child.node.driver.checkStatus?.(offset, bytes);
    return status;
  }
  if (offset >= child.node.length) return { ...status, zero: true };
  const below = await blockStatus(child.node, offset, bytes, true);
  return {
    ...status,
    ...located(below.file, below.offset),
    bytes: below.bytes,
    data: below.data || !below.zero,
    zero: below.zero,
  };
}

function unallocatedStatus(node: BlockNode, offset: number, bytes: number): BlockStatus {
  const backing = node.backing();
  const status = { bytes, data: false, allocated: false, eof: false, depth: 0 };
  if (!backing) return { ...status, zero: true };
  if (offset >= backing.length) return { ...status, zero: true };
  return { ...status, bytes: Math.min(bytes, backing.length - offset), zero: false };
}

/**
 * Status seen from `top`, looking at `top` and what is below it down to, but not including, `base`. Beyond the end of
 * a shorter backing file everything is allocated zeros at that depth.
 */
export async function statusAbove(
  top: BlockNode,
  base: BlockNode | undefined,
  offset: number,
  bytes: number,
  wantZero = true,
): Promise<BlockStatus> {
  let depth = 0;
  let rest = bytes;
  let shortened = false;
  let status: BlockStatus | undefined;
  for (const node of chainFrom(top, base)) {
    if (node.filtered()) {
      await node.driver.checkStatus?.(offset, rest);
      continue;
    }
    if (status && offset >= node.length) {
      const zeros = { bytes: rest, data: false, zero: true, allocated: true, behindEnd: true };
      return { ...zeros, eof: shortened, depth };
    }
    const layer = await blockStatus(node, offset, rest, wantZero);
    rest = Math.min(rest, layer.bytes);
    status = { ...layer, bytes: rest, depth };
    if (layer.allocated || layer.eof) {
      if (layer.allocated) return { ...status, eof: top.length <= offset + rest };
      if (depth === 0 && offset >= node.length) return status;
      shortened = true;
    }
    depth++;
  }
  const nothing: BlockStatus = { bytes: rest, data: false, zero: false, allocated: false, eof: false, depth };
  const last = status ?? nothing;
  return { ...last, bytes: rest, eof: top.length <= offset + rest, depth: Math.max(0, depth - 1) };
}

/** Whether any layer from `top` down to `base` (`includeBase`: with it) holds the range. */
export async function isAllocatedAbove(
  top: BlockNode,
  base: BlockNode | undefined,
  includeBase: boolean,
  offset: number,
  bytes: number,
): Promise<{ allocated: boolean; bytes: number }> {
  let rest = bytes;
  const end = base && includeBase ? nextInChain(base) : base;
  for (const node of chainFrom(top, end)) {
    if (node.filtered()) {
      await node.driver.checkStatus?.(offset, rest);
    } else if (offset < node.length) {
      const layer = await blockStatus(node, offset, rest, false);
      if (layer.allocated) return { allocated: true, bytes: layer.bytes };
      // What lies beyond the end of a shorter layer is not held by it.
      if (layer.bytes < rest && !(layer.eof && node !== top)) rest = layer.bytes;
    }
  }
  return { allocated: false, bytes: rest };
}

/** Whether a new image of its format reads as zeros. Of one that was there before nothing is known. */
export async function startsAsZeros(node: BlockNode): Promise<boolean> {
  return node.driver.hasZeroInit === true || readsAsZeros(node);
}

/** Whether there is nothing but zeros in the node itself, by block status alone. */
async function readsAsZeros(node: BlockNode): Promise<boolean> {
  for (let at = 0; at < node.length; ) {
    const { zero, bytes } = await blockStatus(node, at, node.length - at);
    if (!zero) return false;
    at += bytes;
  }
  return true;
}

/** Whether a range of what the node shows, by itself and its backing files, is zeros by block status alone. */
export async function rangeReadsAsZeros(node: BlockNode, offset: number, bytes: number): Promise<boolean> {
  for (let done = 0; done < bytes; ) {
    const status = await statusAbove(node, undefined, offset + done, bytes - done);
    if (!status.zero) return false;
    done += status.bytes;
  }
  return true;
}
