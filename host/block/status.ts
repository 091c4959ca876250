/**
 * Block status: what a node knows about a range without reading it (specification: graph, section 9).
 *
 * One layer at a time or down a chain. Extents may come back shorter than they are: callers loop and merge.
 */
import { after, type MaybePromise } from '../base/maybe-promise.ts';
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

// Each is a literal of its own, with the same members in the same order: copies of one are ten times as slow to make and to complete.

/**
 * At once where drivers answer at once: who asks a million times does not wait a million times. `wantZero` false: do not ask the
 * host's file system about holes; everything stored may then count as data.
 */
export function blockStatus(
  node: BlockNode,
  offset: number,
  bytes: number,
  wantZero = true,
): MaybePromise<BlockStatus> {
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

function findStatus(
  node: BlockNode,
  offset: number,
  bytes: number,
  wantZero: boolean,
): MaybePromise<BlockStatus> {
  const { length } = node;
  if (offset >= length) return { bytes, data: false, zero: false, allocated: false, eof: true, depth: 0 };
  const asked = Math.min(bytes, length - offset);
  return after(layerStatus(node, offset, asked, wantZero), (status) => {
    if (offset + status.bytes >= length) status.eof = true;
    return status;
  });
}

function layerStatus(
  node: BlockNode,
  offset: number,
  bytes: number,
  wantZero: boolean,
): MaybePromise<BlockStatus> {
  const { driver } = node;
  if (driver.map)
    return after(driver.map(offset, bytes, { wantZero }), (extent) =>
      extentStatus(node, offset, extent, wantZero),
    );
  return after(driver.checkStatus?.(offset, bytes), () => {
    const below = node.filtered();
    if (below) return blockStatus(below, offset, bytes, wantZero);
    return { bytes, data: true, zero: false, allocated: true, eof: false, depth: 0 };
  });
}

function extentStatus(
  node: BlockNode,
  offset: number,
  extent: Extent,
  wantZero: boolean,
): MaybePromise<BlockStatus> {
  const { driver } = node;
  const { bytes } = extent;
  switch (extent.type) {
    case 'data':
      if (!driver.mayHaveHoles) return storedStatus(extent, wantZero);
      return after(wantZero && driver.mayHaveHoles(), (isWanted) =>
        after(storedStatus(extent, isWanted), (status) => {
          status.data = true;
          return status;
        }),
      );
    case 'zero':
      return located(
        { bytes, data: false, zero: true, allocated: true, eof: false, depth: 0 },
        extent.child?.node,
        extent.offset,
      );
    case 'unallocated':
      return unallocatedStatus(node, offset, bytes);
    case 'special':
      return { bytes, data: true, zero: false, allocated: true, eof: false, depth: 0, compressed: true };
    case 'own': {
      const isHole = extent.hole ?? extent.zero;
      const allocated = !isHole || extent.zero;
      return located(
        { bytes, data: !isHole, zero: extent.zero, allocated, eof: false, depth: 0 },
        // What several children hold together has no place that could be told.
        node.children.size === 0 && allocated ? node : undefined,
        offset,
      );
    }
  }
}

/** Says where the bytes are, if that is known. */
function located(status: BlockStatus, file: BlockNode | undefined, offset: number | undefined): BlockStatus {
  if (file !== undefined && offset !== undefined) {
    status.file = file;
    status.offset = offset;
  }
  return status;
}

/** Data in a child: the child may know that part of it is a hole. */
function storedStatus(extent: Extent & { type: 'data' }, wantZero: boolean): MaybePromise<BlockStatus> {
  const { offset, bytes } = extent;
  const child = extent.child.plain;
  if (!child) return { bytes, data: true, zero: false, allocated: true, eof: false, depth: 0 };
  const { node } = child;
  const status = located(
    { bytes, data: true, zero: false, allocated: true, eof: false, depth: 0 },
    node,
    offset,
  );
  if (!wantZero) {
    const check = child.role === 'filtered' ? node.driver.checkStatus?.(offset, bytes) : undefined;
    return after(check, () => status);
  }
  if (offset >= node.length) {
    status.zero = true;
    return status;
  }
  return after(blockStatus(node, offset, bytes, true), (below) => {
    status.bytes = below.bytes;
    status.data = below.data || !below.zero;
    status.zero = below.zero;
    return located(status, below.file, below.offset);
  });
}

function unallocatedStatus(node: BlockNode, offset: number, bytes: number): BlockStatus {
  const backing = node.backing();
  const below = backing ? backing.length - offset : 0;
  const zero = below <= 0;
  if (!zero && below < bytes) bytes = below;
  return { bytes, data: false, zero, allocated: false, eof: false, depth: 0 };
}

/**
 * Status seen from `top`, looking at `top` and what is below it down to, but not including, `base`. Beyond the end of
 * a shorter backing file everything is allocated zeros at that depth. At once, as `blockStatus`.
 */
export function statusAbove(
  top: BlockNode,
  base: BlockNode | undefined,
  offset: number,
  bytes: number,
  wantZero = true,
): MaybePromise<BlockStatus> {
  const chain = chainFrom(top, base);
  let depth = 0;
  let rest = bytes;
  let shortened = false;
  let last: BlockStatus | undefined;

  /** Undefined: it is for the next layer to say. */
  const take = (node: BlockNode, status: BlockStatus): BlockStatus | undefined => {
    rest = status.bytes = Math.min(rest, status.bytes);
    status.depth = depth;
    if (status.allocated) {
      status.eof = top.length <= offset + rest;
      return status;
    }
    last = status;
    if (status.eof) {
      if (depth === 0 && offset >= node.length) return status;
      shortened = true;
    }
    depth++;
    return undefined;
  };

  const goOn = (): MaybePromise<BlockStatus> => {
    for (let node = chain.next().value; node; node = chain.next().value) {
      const here = node;
      if (node.filtered()) {
        const check = node.driver.checkStatus?.(offset, rest);
        if (check) return check.then(goOn);
        continue;
      }
      if (last && offset >= node.length) {
        const zeros = { bytes: rest, data: false, zero: true, allocated: true, behindEnd: true };
        return { ...zeros, eof: shortened, depth };
      }
      const layer = blockStatus(node, offset, rest, wantZero);
      if (layer instanceof Promise) return layer.then((status) => take(here, status) ?? goOn());
      const found = take(node, layer);
      if (found) return found;
    }
    const eof = top.length <= offset + rest;
    const nothing = { data: false, zero: false, allocated: false };
    return { ...(last ?? nothing), bytes: rest, eof, depth: Math.max(0, depth - 1) };
  };

  return goOn();
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
