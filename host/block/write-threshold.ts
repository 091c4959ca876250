/**
 * The write threshold of a node: tells once when a write ends beyond it, so that a management program can make the disk
 * larger in time (specification: graph, section 11).
 */
import type { BlockNode, WriteObserver } from './node.ts';

class WriteThreshold implements WriteObserver {
  constructor(
    private readonly node: BlockNode,
    readonly offset: number,
  ) {}

  onWrite(offset: number, bytes: number): void {
    const exceeded = offset + bytes - this.offset;
    if (exceeded <= 0) return;
    const { node } = this;
    setWriteThreshold(node, 0);
    node.graph.emit({
      name: 'BLOCK_WRITE_THRESHOLD',
      data: { 'node-name': node.name, 'amount-exceeded': exceeded, 'write-threshold': this.offset },
    });
  }
}

const thresholds = new WeakMap<BlockNode, WriteThreshold>();

/** In bytes from the start of the node; 0 for none. */
export function setWriteThreshold(node: BlockNode, offset: number): void {
  const before = thresholds.get(node);
  if (before) node.writeObservers.delete(before);
  thresholds.delete(node);
  if (offset === 0) return;
  const threshold = new WriteThreshold(node, offset);
  thresholds.set(node, threshold);
  node.writeObservers.add(threshold);
}

export function writeThresholdOf(node: BlockNode): number {
  return thresholds.get(node)?.offset ?? 0;
}
