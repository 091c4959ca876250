/**
 * The door to the dispatcher (request.ts): the same requests, told to whoever watches.
 *
 * A request that nobody watches goes straight on, for the price of one test. What is told of one comes when it is over, and
 * so behind what it led to at the nodes below.
 */
import {
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
import type { TruncateOptions, WriteFlags, ZeroFlags } from './driver.ts';
import type { Edge } from './edge.ts';
import type { BlockNode } from './node.ts';
import { dispatcher } from './request.ts';

/** `fua,unchanged`: those that are set. */
function words(flags: object): string {
  const set = Object.entries(flags).filter(([, value]) => value === true);
  return set.length === 0 ? 'none' : set.map(([name]) => name).join();
}

// Apart from the requests below: a function that makes a closure pays for it whether it gets there or not.
const watched = {
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

/** As the dispatcher's, whose promises they hand through. */
export const request: typeof dispatcher = {
  read: (edge, offset, buffer) =>
    blockRead.enabled ? watched.read(edge, offset, buffer) : dispatcher.read(edge, offset, buffer),
  write: (edge, offset, buffer, flags) =>
    blockWrite.enabled
      ? watched.write(edge, offset, buffer, flags)
      : dispatcher.write(edge, offset, buffer, flags),
  writeCompressed: (edge, offset, buffer) =>
    blockWriteCompressed.enabled
      ? watched.writeCompressed(edge, offset, buffer)
      : dispatcher.writeCompressed(edge, offset, buffer),
  writeZeroes: (edge, offset, bytes, flags) =>
    blockWriteZeroes.enabled
      ? watched.writeZeroes(edge, offset, bytes, flags)
      : dispatcher.writeZeroes(edge, offset, bytes, flags),
  discard: (edge, offset, bytes) =>
    blockDiscard.enabled ? watched.discard(edge, offset, bytes) : dispatcher.discard(edge, offset, bytes),
  truncate: (edge, length, options) =>
    blockTruncate.enabled
      ? watched.truncate(edge, length, options)
      : dispatcher.truncate(edge, length, options),
  flush: (node) => (blockFlush.enabled ? watched.flush(node) : dispatcher.flush(node)),
  writeOut: (node) => (blockWriteOut.enabled ? watched.writeOut(node) : dispatcher.writeOut(node)),
};
