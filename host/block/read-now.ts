/**
 * Reads that are done before their call returns, for whoever cannot wait: an emulator whose guest polls its disk.
 *
 * The same data as by the dispatcher (request.ts), which this is a narrow path beside: whatever cannot be had at once,
 * and whatever somebody else wants to know of or to hold, is not read at all. False: use `read`; part of the buffer may
 * have changed. Nobody else runs in between, so there is nothing to drain.
 */
import { blockRead, tracer } from '../trace/events.ts';
import type { Extent } from './driver.ts';
import type { Edge } from './edge.ts';
import type { BlockNode } from './node.ts';

/** Errors: those of drivers, which `read` meets again. */
export function readNow(edge: Edge, offset: number, buffer: Uint8Array): boolean {
  if (!blockRead.enabled) return attempt(edge, offset, buffer);
  const startNs = tracer.nowNs();
  const isDone = attempt(edge, offset, buffer);
  const us = tracer.usSince(startNs);
  const { length } = buffer;
  // One that is not done is made again, and told then.
  if (isDone) blockRead.emit({ node: edge.node.name, offset, bytes: length, flags: 'now', result: 'ok', us });
  return isDone;
}

function attempt({ node }: Edge, offset: number, buffer: Uint8Array): boolean {
  if (node.closed || node.readLocks.users > 0) return false;
  if (offset + buffer.length > node.length) return false;
  const { driver } = node;
  const { requestAlignment = 1, maxTransfer = 0 } = driver.limits ?? {};
  if (offset % requestAlignment !== 0 || buffer.length % requestAlignment !== 0) return false;
  if (maxTransfer > 0 && buffer.length > maxTransfer) return false;
  if (driver.readNow) return driver.readNow(offset, buffer);
  if (driver.read) return false;
  if (driver.map) return readMappedNow(node, offset, buffer);
  for (const edge of node.children.values()) {
    if (edge.role === 'filtered') return !edge.debugged && readNow(edge, offset, buffer);
  }
  return false;
}

function readMappedNow(node: BlockNode, offset: number, buffer: Uint8Array): boolean {
  for (let done = 0; done < buffer.length; ) {
    const extent = node.driver.map!(offset + done, buffer.length - done); // the caller saw it
    if (extent instanceof Promise) {
      // The mapping is on its way for the read that follows, which gets its error too.
      extent.catch(() => {});
      return false;
    }
    if (!readExtentNow(node, extent, offset + done, buffer.subarray(done, done + extent.bytes))) return false;
    done += extent.bytes;
  }
  return true;
}

function readExtentNow(node: BlockNode, extent: Extent, offset: number, buffer: Uint8Array): boolean {
  switch (extent.type) {
    case 'data': {
      const { plain } = extent.child;
      return plain !== undefined && !plain.debugged && readNow(plain, extent.offset, buffer);
    }
    case 'unallocated': {
      const backing = node.children.get('backing');
      if (backing) return !node.primaryChild()?.debugged && readNow(backing, offset, buffer);
      buffer.fill(0);
      return true;
    }
    case 'zero':
      buffer.fill(0);
      return true;
    default:
      return false;
  }
}
