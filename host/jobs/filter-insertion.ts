/**
 * The filter of a job: opened above a node, put between it and everybody who uses it, and taken out again: one at a time in
 * a graph, for what is below a filter must not change between looking and replacing.
 */
import { assert } from '../base/assert.ts';
import { asBlockError } from '../base/errors.ts';
import { withoutUndefined } from '../base/without-undefined.ts';
import { nodesFrom } from '../block/chain.ts';
import type { Driver, DriverDefinition } from '../block/driver.ts';
import type { EdgeParent } from '../block/edge.ts';
import type { BlockGraph } from '../block/graph.ts';
import type { BlockNode } from '../block/node.ts';
import type { OpenFlags } from '../block/open-context.ts';

interface FilterOptions<D extends Driver> {
  /** Of a registered driver the name, or the definition of one that options cannot name. */
  driver: string | DriverDefinition;
  /** What the definition opens. */
  driverClass: abstract new (
    ...args: never[]
  ) => D;
  /** Of the filter, without its node's name. One of its children is the node that it is put above. */
  options: Readonly<Record<string, unknown>>;
  flags: Partial<OpenFlags>;
  nodeName: string | undefined;
  /** Not asked for by anybody: queries leave it out. */
  isImplicit: boolean;
}

export class InsertedFilter<D extends Driver = Driver> {
  /** The reference on the node is still there. */
  private isHeld = true;

  private constructor(
    readonly node: BlockNode,
    /** The node's. */
    readonly driver: D,
  ) {}

  /**
   * Opens a filter; all parents of `node` come to use it instead. Those below the filter itself stay: a backup target
   * whose backing file is the source would otherwise lead back to itself. Errors: those of opening, `Could not create
   * node: …` for a registered driver; permission conflicts. Nothing has changed then.
   */
  static async above<D extends Driver>(
    node: BlockNode,
    options: FilterOptions<D>,
  ): Promise<InsertedFilter<D>> {
    const { graph } = node;
    const filter = await open(graph, options);
    filter.implicit = options.isImplicit;
    assert(filter.driver instanceof options.driverClass, `node ${filter.name} has another driver`);
    const below: EdgeParent[] = [...nodesFrom(filter)];
    await node.drainBegin();
    try {
      await graph.filterChanges.run(() => graph.replaceNode(node, filter, below));
    } catch (error) {
      await graph.unref(filter);
      throw error;
    } finally {
      node.drainEnd();
    }
    return new InsertedFilter(filter, filter.driver);
  }

  /**
   * The parents of the filter use what is below it again: the node it was put above, or another filter that has come
   * between them since. `prepare` is called when nothing is on its way through the filter any more. Harmless when the
   * filter is gone.
   */
  async remove(prepare?: () => Promise<void>): Promise<void> {
    if (!this.isHeld) return;
    const { node } = this;
    await node.drainBegin();
    try {
      await prepare?.();
      await node.graph.filterChanges.run(() => {
        const below = node.filtered();
        assert(below, `node ${node.name} is no filter`);
        return node.graph.replaceNode(node, below);
      });
    } finally {
      node.drainEnd();
    }
    await this.drop();
  }

  /** Lets go of the filter, after its parents were given something else to use. */
  async drop(): Promise<void> {
    this.isHeld = false;
    await this.node.graph.unref(this.node);
  }
}

async function open<D extends Driver>(graph: BlockGraph, wanted: FilterOptions<D>): Promise<BlockNode> {
  const { driver, nodeName, flags } = wanted;
  const options = { ...wanted.options, ...withoutUndefined({ 'node-name': nodeName }) };
  if (typeof driver !== 'string') return graph.openInternal(driver, options, flags);
  try {
    return await graph.open({ driver, ...options }, flags);
  } catch (error) {
    throw asBlockError(error).within('Could not create node');
  }
}
