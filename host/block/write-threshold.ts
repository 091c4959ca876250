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

function find(node: BlockNode): WriteThreshold | undefined {
  for (const observer of node.writeObservers) if (observer instanceof WriteThreshold) return observer;
  return undefined;
}

/** In bytes from the start of the node; 0 for none. */
export function setWriteThreshold(node: BlockNode, offset: number): void {
  const before = find(node);
  if (before) node.writeObservers.delete(before);
  if (offset > 0) node.writeObservers.add(new WriteThreshold(node, offset));
}

export function writeThresholdOf(node: BlockNode): number {
  return find(node)?.offset ?? 0;
}
