/**
 * What a qcow2 disk must read as: an array of bytes, and the operations on it as the format defines them
 * (specification: qcow2, sections 4.3 and 4.4). Operations are made up here too, so that ours and real QEMU get the same.
 */

import { firstDifference } from './bytes.ts';
import type { Seeded } from './seeded.ts';

export interface DiskShape {
  clusterBytes: number;
  version: 2 | 3;
  /** Bytes of the whole backing chain's top; undefined without a backing file. */
  backingBytes: number | undefined;
}

export type Operation =
  | { kind: 'write'; offset: number; bytes: number; pattern: number }
  | { kind: 'zero'; offset: number; bytes: number; unmap: boolean }
  | { kind: 'compress'; offset: number; bytes: number; pattern: number }
  | { kind: 'discard'; offset: number; bytes: number }
  | { kind: 'read'; offset: number; bytes: number }
  | { kind: 'flush' }
  | { kind: 'resize'; bytes: number };

export class DiskModel {
  content: Uint8Array;
  /** Clusters that may have a mapping: compressed data cannot replace one. */
  touched = new Set<number>();

  constructor(
    readonly shape: DiskShape,
    content: Uint8Array,
  ) {
    this.content = content;
  }

  apply(operation: Operation): void {
    const { content, shape } = this;
    switch (operation.kind) {
      case 'write':
      case 'compress':
        content.fill(operation.pattern, operation.offset, operation.offset + operation.bytes);
        break;
      case 'zero':
        content.fill(0, operation.offset, operation.offset + operation.bytes);
        break;
      case 'discard': {
        if (shape.version === 2 && shape.backingBytes !== undefined) break;
        const end = operation.offset + operation.bytes;
        const from = Math.ceil(operation.offset / shape.clusterBytes) * shape.clusterBytes;
        const to = end === content.length ? end : Math.floor(end / shape.clusterBytes) * shape.clusterBytes;
        if (from < to) content.fill(0, from, to);
        break;
      }
      case 'resize': {
        // Zeros may be stored past the old end, and before the new one.
        this.touch(Math.min(operation.bytes, content.length), Math.abs(operation.bytes - content.length));
        const resized = new Uint8Array(operation.bytes);
        resized.set(content.subarray(0, Math.min(resized.length, content.length)));
        this.content = resized;
        break;
      }
      case 'read':
      case 'flush':
        break;
    }
  }

  /** Remembers which clusters an operation that was invented touches. */
  private touch(offset: number, bytes: number): void {
    const { clusterBytes } = this.shape;
    for (let at = Math.floor(offset / clusterBytes); at * clusterBytes < offset + bytes; at++)
      this.touched.add(at);
  }

  /** A compressed write of one whole cluster that has no mapping; undefined when the one tried has one. */
  private inventCompressed(random: Seeded): Operation | undefined {
    const { clusterBytes } = this.shape;
    const index = random.below(this.content.length / clusterBytes);
    const offset = index * clusterBytes;
    if (this.touched.has(index) || offset + clusterBytes > this.content.length) return undefined;
    return { kind: 'compress', offset, bytes: clusterBytes, pattern: 1 + random.below(255) };
  }

  /** An operation on the disk as it is now; ranges are of all sizes, mostly small, some not aligned to sectors. */
  invent(random: Seeded): Operation {
    const operation = (random.oneIn(10) && this.inventCompressed(random)) || this.inventPlain(random);
    if ('offset' in operation && operation.kind !== 'read') this.touch(operation.offset, operation.bytes);
    return operation;
  }

  private inventPlain(random: Seeded): Operation {
    const unit = random.oneIn(4) ? 1 : 512;
    const longest = random.pick([8 * 512, 8 * 512, this.shape.clusterBytes * 3, this.content.length / 4]);
    const offset = random.below(this.content.length / unit) * unit;
    const bytes = Math.min(this.content.length - offset, (1 + random.below(longest / unit)) * unit);
    const kind = random.below(12);
    if (kind < 5) return { kind: 'write', offset, bytes, pattern: 1 + random.below(255) };
    if (kind < 7) return { kind: 'zero', offset, bytes, unmap: random.oneIn(2) };
    if (kind < 9) {
      if (random.oneIn(4)) return { kind: 'discard', offset, bytes: this.content.length - offset };
      return { kind: 'discard', offset, bytes };
    }
    if (kind < 11) return { kind: 'read', offset, bytes };
    return { kind: 'flush' };
  }

  /** With `wholeClusters`, what is given up ends at a cluster: QEMU does not clear the rest of the last one. */
  inventResize(random: Seeded, maxBytes: number, wholeClusters: boolean): Operation {
    const { clusterBytes } = this.shape;
    let bytes = (1 + random.below(maxBytes / 512)) * 512;
    if (wholeClusters && bytes < this.content.length)
      bytes = Math.min(this.content.length, Math.ceil(bytes / clusterBytes) * clusterBytes);
    // Zeros cannot hide the backing file in version 2, so growing over it is refused.
    const { version, backingBytes } = this.shape;
    if (version === 2 && backingBytes !== undefined && backingBytes > this.content.length)
      bytes = Math.min(bytes, this.content.length);
    return { kind: 'resize', bytes };
  }
}

/**
 * What one side does in one turn. The model gets everything in this order; operations between two resizes do not
 * overlap, so that they may also run at the same time.
 */
export function inventTurn(
  random: Seeded,
  model: DiskModel,
  maxBytes: number | undefined,
  count: number,
  byQemu: boolean,
): Operation[] {
  const operations: Operation[] = [];
  let used: { offset: number; end: number }[] = [];
  // Lengths follow each other, so a scratch model is brought along.
  const ahead = new DiskModel(model.shape, new Uint8Array(model.content.length));
  ahead.touched = model.touched;
  for (let i = 0; i < count; i++) {
    if (maxBytes !== undefined && random.oneIn(25)) {
      const resize = ahead.inventResize(random, maxBytes, byQemu);
      ahead.apply(resize);
      operations.push(resize);
      used = [];
      continue;
    }
    const operation = ahead.invent(random);
    if ('offset' in operation) {
      const { offset } = operation;
      const end = offset + operation.bytes;
      if (used.some((other) => other.offset < end && offset < other.end)) continue;
      used.push({ offset, end });
    }
    operations.push(operation);
  }
  return operations;
}

/** Throws with the first difference, if there is one. */
export function expectSameBytes(actual: Uint8Array, expected: Uint8Array, where: string): void {
  if (actual.length !== expected.length)
    throw new Error(`${where}: ${actual.length} bytes rather than ${expected.length}`);
  const at = firstDifference(actual, expected);
  if (at < 0) return;
  throw new Error(`${where}: byte ${at} of ${actual.length} is ${actual[at]} rather than ${expected[at]}`);
}
