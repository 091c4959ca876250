/**
 * The dispatcher: every request to every node passes here, and drivers see only what it lets through.
 *
 * It checks that the node is open, that the edge has the permission and that the range is sound; counts the request
 * for drain; asks filters to save what is about to be overwritten; calls the driver, in pieces within its limits;
 * emulates what the driver lacks (write-zeroes → write, FUA → flush, unaligned → read-modify-write); and tells the
 * node's dirty bitmaps. Requests longer than the largest transfer, or past 2^53, are refused with EIO
 * (specification: graph, section 9).
 *
 * Edges come here by way of request-trace.ts, which tells whoever watches.
 */
import { BlockError } from '../base/errors.ts';
import { roundDown, roundUp, sectorBytes } from '../base/sectors.ts';
import { settled } from '../base/settled.ts';
import { isZero } from '../core/scan.ts';
import { copyIntoNode } from './copy-range.ts';
import type { DebugEvent } from './debug-events.ts';
import type { SourceRange, TruncateOptions, WriteFlags, ZeroFlags } from './driver.ts';
import type { Edge } from './edge.ts';
import type { BlockNode } from './node.ts';
import { Perm } from './permissions.ts';
import { readMapped, writeMapped } from './transfer.ts';

/** The largest single data request: INT_MAX rounded down to a sector. */
export const maxRequestBytes = 2_147_483_136;

/** Zeros are written in pieces of this size where the driver cannot write zeroes by itself. */
const zeroBufferBytes = 1 << 20;
let zeroBuffer: Uint8Array | undefined;

function checkOpen(node: BlockNode): void {
  if (node.closed) throw new BlockError('ENOMEDIUM');
}

function checkRange(offset: number, bytes: number): void {
  if (!(offset >= 0) || !(bytes >= 0) || offset + bytes > Number.MAX_SAFE_INTEGER)
    throw new BlockError('EIO');
}

/** Of requests that carry data, which is more than what they name: zeros and discards may be of any length. */
function checkData(buffer: Uint8Array): void {
  if (buffer.length > maxRequestBytes) throw new BlockError('EIO');
}

function checkWritable(edge: Edge): void {
  if ((edge.perm & (Perm.write | Perm.writeUnchanged)) === 0 || edge.node.readOnly)
    throw new BlockError('EPERM');
}

async function read(edge: Edge, offset: number, buffer: Uint8Array): Promise<void> {
  const { node } = edge;
  checkOpen(node);
  checkRange(offset, buffer.length);
  checkData(buffer);
  if (buffer.length === 0) return;
  node.requestBegin();
  try {
    if (node.readLocks.users === 0) await readNode(node, offset, buffer);
    else await readExcluded(node, offset, buffer);
  } finally {
    node.requestEnd();
  }
}

/** Somebody writes here what readers must see either before or after. */
async function readExcluded(node: BlockNode, offset: number, buffer: Uint8Array): Promise<void> {
  const release = await node.readLocks.acquire(offset, buffer.length, true);
  try {
    await readNode(node, offset, buffer);
  } finally {
    release();
  }
}

// These hand the promise of the one call they make through: every async function in between would cost a read 0.1 µs.

function readNode(node: BlockNode, offset: number, buffer: Uint8Array): Promise<void> {
  const inside = node.length - offset;
  if (inside < buffer.length) {
    buffer.fill(0, Math.max(0, inside));
    if (inside <= 0) return settled;
    buffer = buffer.subarray(0, inside);
  }
  const { limits } = node.driver;
  if (limits) {
    const { requestAlignment = 1, maxTransfer = 0 } = limits;
    if (requestAlignment > 1 && (offset % requestAlignment !== 0 || buffer.length % requestAlignment !== 0)) {
      return readUnaligned(node, offset, buffer, requestAlignment);
    }
    if (maxTransfer > 0 && buffer.length > maxTransfer) return readPieces(node, offset, buffer, maxTransfer);
  }
  return readDriver(node, offset, buffer);
}

function readDriver(node: BlockNode, offset: number, buffer: Uint8Array): Promise<void> {
  const { driver } = node;
  if (driver.read) return driver.read(offset, buffer);
  if (driver.map) return readMapped(node, offset, buffer);
  return filteredEdge(node).read(offset, buffer);
}

async function readUnaligned(
  node: BlockNode,
  offset: number,
  buffer: Uint8Array,
  alignment: number,
): Promise<void> {
  const start = roundDown(offset, alignment);
  const whole = new Uint8Array(roundUp(offset + buffer.length, alignment) - start);
  await readPieces(node, start, whole, node.driver.limits?.maxTransfer || whole.length);
  buffer.set(whole.subarray(offset - start, offset - start + buffer.length));
}

async function readPieces(
  node: BlockNode,
  offset: number,
  buffer: Uint8Array,
  pieceBytes: number,
): Promise<void> {
  for (let done = 0; done < buffer.length; done += pieceBytes) {
    await readDriver(node, offset + done, buffer.subarray(done, done + pieceBytes));
  }
}

async function write(edge: Edge, offset: number, buffer: Uint8Array, flags: WriteFlags): Promise<void> {
  const { node } = edge;
  checkData(buffer);
  if (detectsZeroes(node, buffer)) return writeDetectedZeroes(edge, offset, buffer, flags);
  await changing(edge, offset, buffer.length, flags, 'data', async () => {
    if (node.probedRaw && offset < sectorBytes) await checkProbedRaw(node, offset, buffer);
    await writeNode(node, offset, buffer, driverFlags(node, flags, 'data'));
    node.growTo(offset + buffer.length);
  });
}

function detectsZeroes({ flags }: BlockNode, buffer: Uint8Array): boolean {
  return flags.detectZeroes !== 'off' && buffer.length > 0 && isZero(buffer);
}

function writeDetectedZeroes(
  edge: Edge,
  offset: number,
  buffer: Uint8Array,
  flags: WriteFlags,
): Promise<void> {
  const mayUnmap = edge.node.flags.detectZeroes === 'unmap';
  return writeZeroes(edge, offset, buffer.length, { ...flags, mayUnmap });
}

type ChangeKind = 'data' | 'zeroes';

/** Whether the driver makes durable itself what it writes. */
function honoursFua({ driver: { supportsFua } }: BlockNode, kind: ChangeKind): boolean {
  return supportsFua === true || (supportsFua === 'data' && kind === 'data');
}

/** What every request that changes data has around it. */
export async function changing(
  edge: Edge,
  offset: number,
  bytes: number,
  flags: WriteFlags,
  kind: ChangeKind,
  act: () => Promise<void>,
): Promise<void> {
  const { node } = edge;
  checkOpen(node);
  checkRange(offset, bytes);
  checkWritable(edge);
  if (bytes === 0) return;
  node.requestBegin();
  let release: (() => void) | undefined;
  try {
    if (node.populateLocks.users > 0 || edge.excludes === 'reads')
      release = await excludeOthers(edge, offset, bytes, flags);
    const saved = node.driver.beforeWrite?.(offset, bytes, flags);
    if (saved) await saved;
    if (!flags.unchanged) {
      for (const observer of node.writeObservers) {
        const ready = observer.beforeWrite?.(offset, bytes);
        if (ready) await ready;
      }
    }
    try {
      await act();
    } finally {
      node.writeGeneration++;
      if (!flags.unchanged) for (const observer of node.writeObservers) observer.onWrite(offset, bytes);
    }
    if (offset + bytes > node.highestWriteOffset) node.highestWriteOffset = offset + bytes;
    if (flags.fua && !honoursFua(node, kind)) await flushNode(node);
  } finally {
    release?.();
    node.requestEnd();
  }
}

/** Always in this order, so that nobody who holds one lock waits for somebody who waits for it. */
async function excludeOthers(
  { node, excludes }: Edge,
  offset: number,
  bytes: number,
  flags: WriteFlags,
): Promise<() => void> {
  // Unchanged data comes from whoever holds the lock already.
  const releaseWrite =
    node.populateLocks.users > 0 && !flags.unchanged
      ? await node.populateLocks.acquire(offset, bytes, true)
      : undefined;
  const releaseRead = excludes === 'reads' ? await node.readLocks.acquire(offset, bytes) : undefined;
  return () => {
    releaseRead?.();
    releaseWrite?.();
  };
}

async function writeNode(
  node: BlockNode,
  offset: number,
  buffer: Uint8Array,
  flags: WriteFlags,
): Promise<void> {
  const alignment = node.driver.limits?.requestAlignment ?? 1;
  if (alignment === 1) return writeAligned(node, offset, buffer, flags);
  const start = roundDown(offset, alignment);
  const end = roundUp(offset + buffer.length, alignment);
  const release = await node.rangeLocks.acquire(start, end - start);
  try {
    if (start === offset && end === offset + buffer.length)
      return await writeAligned(node, offset, buffer, flags);
    const whole = new Uint8Array(end - start);
    const edges = { head: start < offset, tail: end > offset + buffer.length };
    if (node.driver.debugEvent) await tellEdges(node, edges, 'pwritev_rmw_head', 'pwritev_rmw_tail');
    await readNode(node, start, whole);
    if (node.driver.debugEvent)
      await tellEdges(node, edges, 'pwritev_rmw_after_head', 'pwritev_rmw_after_tail');
    whole.set(buffer, offset - start);
    await writeAligned(node, start, whole, flags);
  } finally {
    release();
  }
}

async function tellEdges(
  { driver }: BlockNode,
  edges: { head: boolean; tail: boolean },
  head: DebugEvent,
  tail: DebugEvent,
): Promise<void> {
  if (edges.head) await driver.debugEvent!(head);
  if (edges.tail) await driver.debugEvent!(tail);
}

function writeAligned(node: BlockNode, offset: number, buffer: Uint8Array, flags: WriteFlags): Promise<void> {
  if (!node.driver.debugEvent) return writeInPieces(node, offset, buffer, flags);
  return tellWrite(node, 'pwritev', () => writeInPieces(node, offset, buffer, flags));
}

async function tellWrite({ driver }: BlockNode, event: DebugEvent, act: () => Promise<void>): Promise<void> {
  await driver.debugEvent!(event);
  try {
    await act();
  } finally {
    await driver.debugEvent!('pwritev_done');
  }
}

async function writeInPieces(
  node: BlockNode,
  offset: number,
  buffer: Uint8Array,
  flags: WriteFlags,
): Promise<void> {
  const { driver } = node;
  const piece = driver.limits?.maxTransfer || buffer.length;
  for (let done = 0; done < buffer.length; done += piece) {
    const part = piece >= buffer.length ? buffer : buffer.subarray(done, done + piece);
    if (driver.write) await driver.write(offset + done, part, flags);
    else if (driver.prepareWrite) await writeMapped(node, offset + done, part, ownFlags(flags));
    else await filteredEdge(node).write(offset + done, part, flags);
  }
}

/** A driver that cannot make a write durable by itself need not know: the flush comes afterwards. */
function driverFlags<F extends WriteFlags>(node: BlockNode, flags: F, kind: ChangeKind): F {
  return flags.fua && !honoursFua(node, kind) ? { ...flags, fua: false } : flags;
}

/** What a mapping driver stores is a change of its file, even when the node reads as before. */
function ownFlags(flags: WriteFlags): WriteFlags {
  return flags.unchanged ? { ...flags, unchanged: false } : flags;
}

/** The header of another format in a disk that was guessed to be raw would be believed the next time it is opened. */
async function checkProbedRaw(node: BlockNode, offset: number, buffer: Uint8Array): Promise<void> {
  const head = new Uint8Array(sectorBytes);
  await readNode(node, 0, head);
  head.set(buffer.subarray(0, Math.min(buffer.length, sectorBytes - offset)), offset);
  if (!node.looksRaw(head)) throw new BlockError('EPERM');
}

async function writeCompressed(edge: Edge, offset: number, buffer: Uint8Array): Promise<void> {
  const { node } = edge;
  checkData(buffer);
  if (detectsZeroes(node, buffer)) return writeDetectedZeroes(edge, offset, buffer, {});
  await changing(edge, offset, buffer.length, {}, 'data', async () => {
    if (node.driver.writeCompressed) await node.driver.writeCompressed(offset, buffer);
    else throw new BlockError('ENOTSUP');
  });
}

async function copyRange(edge: Edge, offset: number, source: SourceRange): Promise<void> {
  const { node } = edge;
  // What is looked at before it is written has to come here.
  if (node.flags.detectZeroes !== 'off' || node.probedRaw) throw new BlockError('ENOTSUP');
  await changing(edge, offset, source.bytes, {}, 'data', async () => {
    await copyIntoNode(node, offset, source);
    node.growTo(offset + source.bytes);
  });
}

async function writeZeroes(edge: Edge, offset: number, bytes: number, flags: ZeroFlags): Promise<void> {
  const { node } = edge;
  const mayUnmap = flags.mayUnmap === true && node.flags.discard;
  await changing(edge, offset, bytes, flags, 'zeroes', async () => {
    await writeZeroesNode(node, offset, bytes, { ...driverFlags(node, flags, 'zeroes'), mayUnmap });
    node.growTo(offset + bytes);
  });
}

async function writeZeroesNode(
  node: BlockNode,
  offset: number,
  bytes: number,
  flags: ZeroFlags,
): Promise<void> {
  const { driver } = node;
  if (!driver.writeZeroes && node.filtered()) return filteredEdge(node).writeZeroes(offset, bytes, flags);
  const alignment = driver.limits?.requestAlignment ?? 1;
  const end = offset + bytes;
  const first = roundUp(offset, alignment);
  // A node may end within a unit.
  const last = end >= node.length ? end : roundDown(end, alignment);
  if (flags.noFallback && (first !== offset || last !== end)) throw new BlockError('ENOTSUP');
  if (first >= last) return writeZeroBuffers(node, offset, bytes, flags);
  if (offset < first) await writeZeroBuffers(node, offset, first - offset, flags);
  const act = (): Promise<void> => writeAlignedZeroes(node, first, last - first, flags);
  await (driver.debugEvent ? tellWrite(node, 'pwritev_zero', act) : act());
  if (last < end) await writeZeroBuffers(node, last, end - last, flags);
}

async function writeAlignedZeroes(
  node: BlockNode,
  offset: number,
  bytes: number,
  flags: ZeroFlags,
): Promise<void> {
  const { driver } = node;
  const piece = driver.limits?.maxWriteZeroes || bytes;
  for (let done = 0; done < bytes; done += piece) {
    const part = Math.min(piece, bytes - done);
    if (driver.writeZeroes) {
      try {
        await driver.writeZeroes(offset + done, part, flags);
        continue;
      } catch (error) {
        if (!(error instanceof BlockError) || error.errno !== 'ENOTSUP' || flags.noFallback) throw error;
      }
    } else if (flags.noFallback) {
      throw new BlockError('ENOTSUP');
    }
    await writeZeroBuffers(node, offset + done, part, flags);
  }
}

async function writeZeroBuffers(
  node: BlockNode,
  offset: number,
  bytes: number,
  flags: WriteFlags,
): Promise<void> {
  zeroBuffer ??= new Uint8Array(zeroBufferBytes);
  for (let done = 0; done < bytes; done += zeroBufferBytes) {
    const part = zeroBuffer.subarray(0, Math.min(zeroBufferBytes, bytes - done));
    await writeNode(node, offset + done, part, flags);
  }
}

async function discard(edge: Edge, offset: number, bytes: number): Promise<void> {
  const { node } = edge;
  if (!node.flags.discard) {
    checkOpen(node);
    checkRange(offset, bytes);
    checkWritable(edge);
    return;
  }
  await changing(edge, offset, bytes, {}, 'zeroes', async () => {
    const { driver } = node;
    if (!driver.discard) {
      if (node.filtered()) await filteredEdge(node).discard(offset, bytes);
      return;
    }
    const piece = driver.limits?.maxDiscard || bytes;
    for (let done = 0; done < bytes; done += piece) {
      try {
        await driver.discard(offset + done, Math.min(piece, bytes - done));
      } catch (error) {
        // Discard is a hint: not being able to follow it is success.
        if (!(error instanceof BlockError) || error.errno !== 'ENOTSUP') throw error;
      }
    }
  });
}

async function flush(node: BlockNode): Promise<void> {
  checkOpen(node);
  node.requestBegin();
  try {
    await flushNode(node);
  } finally {
    node.requestEnd();
  }
}

async function flushNode(node: BlockNode): Promise<void> {
  const generation = node.writeGeneration;
  const { driver } = node;
  const primary = node.primaryChild() ?? node.chainEdge();
  if (primary?.debugged) await primary.debugEvent('flush_to_os');
  if (driver.flushChildren) {
    await driver.flushChildren();
  } else if (node.children.size === 0) {
    if (generation === node.flushedGeneration || node.flags.noFlush) return;
    await driver.flush?.();
  } else {
    if (generation !== node.flushedGeneration) {
      await driver.flush?.();
      if (primary?.debugged && !node.flags.noFlush) await primary.debugEvent('flush_to_disk');
    }
    // Children know by themselves whether they need it; a backing file takes no writes from here, and what a filter
    // writes to an image beside (a backup's target) is not the guest's data.
    for (const edge of node.children.values()) {
      if (edge.role !== 'cow' && edge.role !== 'image') await edge.flush();
    }
  }
  if (generation > node.flushedGeneration) node.flushedGeneration = generation;
}

async function writeOut(node: BlockNode): Promise<void> {
  checkOpen(node);
  node.requestBegin();
  try {
    const { driver } = node;
    // Whoever has its own idea of which children count can only be asked for more.
    if (driver.flushChildren) return await driver.flushChildren();
    await driver.writeOut?.();
    for (const edge of node.children.values()) {
      if (edge.role !== 'cow' && edge.role !== 'image') await edge.writeOut();
    }
  } finally {
    node.requestEnd();
  }
}

async function truncate(edge: Edge, length: number, options: TruncateOptions): Promise<void> {
  const { node } = edge;
  checkOpen(node);
  if (node.readOnly) throw new BlockError('EACCES', 'Image is read-only');
  if ((edge.perm & Perm.resize) === 0) throw new BlockError('EPERM');
  node.requestBegin();
  try {
    for (const observer of node.writeObservers) observer.beforeResize?.();
    if (node.driver.truncate) await node.driver.truncate(length, options);
    else if (node.filtered()) await filteredEdge(node).truncate(length, options);
    else throw new BlockError('ENOTSUP', 'Image format driver does not support resize');
    node.writeGeneration++;
    await node.refreshLength();
  } finally {
    node.requestEnd();
  }
}

function filteredEdge(node: BlockNode): Edge {
  for (const edge of node.children.values()) if (edge.role === 'filtered') return edge;
  throw new BlockError('ENOTSUP');
}

export const dispatcher = {
  ...{ read, write, writeCompressed, copyRange, writeZeroes },
  ...{ discard, flush, writeOut, truncate },
};
