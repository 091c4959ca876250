/**
 * What a test itself has opened in a graph, and closing it when the test is over: tests need not. Whatever is still open
 * after that, the program has left open.
 *
 * Who opens is told by the caller's file: the nodes and backends that code below `test/` asks for are the test's, all
 * others the program's.
 */
import { resolve } from 'node:path';
import { BlockBackend } from '../../host/block/backend.ts';
import { BlockGraph } from '../../host/block/graph.ts';
import type { BlockNode } from '../../host/block/node.ts';

const testFolder = `${resolve(import.meta.dirname, '..')}/`;
/** Above the frames of `isCalledByTest` and of the method that was wrapped. */
const callerFrame = 3;

class Handles {
  private readonly references = new Map<BlockNode, number>();
  private readonly backends = new Set<BlockBackend>();

  addBackend(backend: BlockBackend): void {
    this.backends.add(backend);
  }

  count(node: BlockNode, change: number): void {
    const left = (this.references.get(node) ?? 0) + change;
    if (left > 0) this.references.set(node, left);
    else this.references.delete(node);
  }

  async release(): Promise<void> {
    for (const backend of [...this.backends].reverse()) await backend.delete().catch(() => {});
    for (const [node, count] of [...this.references].reverse()) {
      // Some of the test's references are the program's by now.
      for (let left = Math.min(count, node.references - node.parents.size); left > 0; left--) {
        await node.graph.unref(node).catch(() => {});
      }
    }
  }
}

export class OwnHandles {
  private opened = new Handles();
  /** From before the test: they are for several tests. */
  private readonly kept: Handles[] = [];

  constructor() {
    this.watchOpening('open');
    this.watchOpening('openFile');
    this.watchOpening('openInternal');
    this.watchReleasing();
    this.watchBackends();
  }

  /** What is open now stays when the test is over. */
  keep(): void {
    this.kept.push(this.opened);
    this.opened = new Handles();
  }

  /** Closes what was opened since `keep`, newest first. Never rejects: what cannot be closed stays open. */
  async release(): Promise<void> {
    const { opened } = this;
    this.opened = new Handles();
    await opened.release();
  }

  async releaseAll(): Promise<void> {
    await this.release();
    for (const handles of this.kept.splice(0).reverse()) await handles.release();
  }

  private watchOpening(method: 'open' | 'openFile' | 'openInternal'): void {
    const own = this;
    const original = BlockGraph.prototype[method] as (...args: unknown[]) => Promise<BlockNode>;
    const wrapped = async function (this: BlockGraph, ...args: unknown[]): Promise<BlockNode> {
      const isOwn = isCalledByTest();
      const node = await original.apply(this, args);
      if (isOwn) own.opened.count(node, 1);
      return node;
    };
    Object.assign(BlockGraph.prototype, { [method]: wrapped });
  }

  private watchReleasing(): void {
    const own = this;
    const original = BlockGraph.prototype.unref;
    BlockGraph.prototype.unref = function (this: BlockGraph, node: BlockNode): Promise<void> {
      if (isCalledByTest()) own.opened.count(node, -1);
      return original.call(this, node);
    };
  }

  private watchBackends(): void {
    const { attach, create } = BlockBackend;
    BlockBackend.attach = async (...args) => {
      const isOwn = isCalledByTest();
      const backend = await attach.apply(BlockBackend, args);
      if (isOwn) this.opened.addBackend(backend);
      return backend;
    };
    BlockBackend.create = (...args) => {
      const backend = create.apply(BlockBackend, args);
      if (isCalledByTest()) this.opened.addBackend(backend);
      return backend;
    };
  }
}

/** Whether the method that calls this was called by code below `test/`. */
function isCalledByTest(): boolean {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = callerFrame;
  const { stack = '' } = new Error();
  Error.stackTraceLimit = stackTraceLimit;
  return stack.split('\n')[callerFrame]?.includes(testFolder) ?? false;
}
