/**
 * Requests to the dispatcher (request.ts) that are told to whoever watches. Edges come here when somebody does; otherwise
 * they go straight on, for the price of one test.
 *
 * What is told of a request comes when it is over, and so behind what it led to at the nodes below.
 */
import {
  blockCopyRange,
  blockDiscard,
  blockFlush,
  blockRead,
  blockTruncate,
  blockWrite,
  blockWriteCompressed,
  blockWriteOut,
  blockWriteZeroes,
} from '../trace/events.ts';
import { measure } from '../trace/measure.ts';
import type { SourceRange, TruncateOptions, WriteFlags, ZeroFlags } from './driver.ts';
import type { Edge } from './edge.ts';
import type { BlockNode } from './node.ts';
import { dispatcher } from './request.ts';

/** `fua,unchanged`: those that are set. */
function words(flags: object): string {
  const set = Object.entries(flags).filter(([, value]) => value === true);
  return set.length === 0 ? 'none' : set.map(([name]) => name).join();
}

export const watched = {
  read: (edge: Edge, offset: number, buffer: Uint8Array) =>
    measure(blockRead, about(edge, offset, buffer.length), () => dispatcher.read(edge, offset, buffer)),

  write: (edge: Edge, offset: number, buffer: Uint8Array, flags: WriteFlags) =>
    measure(blockWrite, about(edge, offset, buffer.length, flags), () =>
      dispatcher.write(edge, offset, buffer, flags),
    ),

  writeCompressed: (edge: Edge, offset: number, buffer: Uint8Array) =>
    measure(blockWriteCompressed, about(edge, offset, buffer.length), () =>
      dispatcher.writeCompressed(edge, offset, buffer),
    ),

  copyRange: (edge: Edge, offset: number, source: SourceRange) =>
    measure(blockCopyRange, about(edge, offset, source.bytes), () =>
      dispatcher.copyRange(edge, offset, source),
    ),

  writeZeroes: (edge: Edge, offset: number, bytes: number, flags: ZeroFlags) =>
    measure(blockWriteZeroes, about(edge, offset, bytes, flags), () =>
      dispatcher.writeZeroes(edge, offset, bytes, flags),
    ),

  discard: (edge: Edge, offset: number, bytes: number) =>
    measure(blockDiscard, about(edge, offset, bytes), () => dispatcher.discard(edge, offset, bytes)),

  truncate: (edge: Edge, length: number, options: TruncateOptions) =>
    measure(blockTruncate, about(edge, length, 0, options), () => dispatcher.truncate(edge, length, options)),

  flush: (node: BlockNode) => measure(blockFlush, { node: node.name }, () => dispatcher.flush(node)),

  writeOut: (node: BlockNode) => measure(blockWriteOut, { node: node.name }, () => dispatcher.writeOut(node)),
};

const about = ({ node }: Edge, offset: number, bytes: number, flags: object = {}) => ({
  node: node.name,
  offset,
  bytes,
  flags: words(flags),
});
