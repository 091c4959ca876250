/**
 * Reopening one node with some options changed: what is not said of it or of the nodes that were opened with it stays
 * as it is, where `reopen` (reopen.ts) would set it back to its default. What may change is the same.
 */
import { invalid } from '../base/errors.ts';
import { nestDottedKeys } from '../qapi/dotted-keys.ts';
import { isJsonObject } from '../qapi/json-value.ts';
import { flattened } from './filename.ts';
import type { BlockGraph } from './graph.ts';
import type { BlockNode } from './node.ts';
import type { OpenFlags } from './open-context.ts';
import { childDefaults, commonOptions, isCommonOption, type NodeOptions, resolveFlags } from './options.ts';
import { type ChildChange, carryOut, checkReopening, exchangeable, type Planned } from './reopen.ts';

/** `changes`: in the form of blockdev-add, names with dots or nested. Errors: as of `reopen`; the node is as before. */
export async function reopenWith(graph: BlockGraph, node: BlockNode, changes: NodeOptions): Promise<void> {
  await node.drainBegin();
  try {
    const plan: Planned[] = [];
    planNode(graph, plan, node, nestDottedKeys(changes), node.flags);
    await carryOut(graph, plan);
  } finally {
    node.drainEnd();
  }
}

/** `defaults`: how the node is open, or is to be by way of its parent. */
function planNode(
  graph: BlockGraph,
  plan: Planned[],
  node: BlockNode,
  changes: NodeOptions,
  defaults: Partial<OpenFlags>,
): void {
  const children = [...node.children.values()].filter(({ node: child }) => child.inheritsFrom === node);
  const changesOf = (name: string): NodeOptions => {
    const given = changes[name];
    return isJsonObject(given) ? given : {};
  };
  const own = Object.entries(changes).filter(
    ([name, value]) => !(isJsonObject(value) && children.some((edge) => edge.name === name)),
  );
  checkObjects(node, own);
  const name = changes['node-name'];
  if (name !== undefined && name !== node.name) throw invalid("Cannot change the option 'node-name'");
  const options = merged(node.options, Object.fromEntries(own));
  checkCacheOptions(options['cache']);
  const flags = resolveFlags(commonOptions(options, node.definition), defaults);
  plan.push({
    node,
    options,
    flags,
    children: exchanges(graph, node, Object.fromEntries(own)),
    complete: false,
  });
  checkReopening(node, options, flags);
  for (const { name, role, node: child } of children) {
    planNode(graph, plan, child, changesOf(name), childDefaults(flags, role));
  }
}

/** Options of what is no child of its own, and no option either. */
function checkObjects({ definition }: BlockNode, changes: readonly [name: string, value: unknown][]): void {
  for (const [name, value] of changes) {
    if (!isJsonObject(value) || isCommonOption(name) || definition.reopenableOptions?.includes(name))
      continue;
    throw invalid(`Cannot change the option '${Object.keys(flattened(name, value))[0] ?? name}'`);
  }
}

/** Of a member that is an object in both, only what is said of it changes. */
function merged(options: NodeOptions, changes: NodeOptions): NodeOptions {
  const result: Record<string, unknown> = { ...options };
  for (const [name, value] of Object.entries(changes)) {
    const before = result[name];
    result[name] = isJsonObject(before) && isJsonObject(value) ? { ...before, ...value } : value;
  }
  return result;
}

/** Children that are to be other nodes, by their names. */
function exchanges(graph: BlockGraph, node: BlockNode, changes: NodeOptions): ChildChange[] {
  return exchangeable.flatMap((name) => {
    const given = changes[name];
    if (typeof given !== 'string') return [];
    return [{ name, edge: node.children.get(name), to: graph.lookup(undefined, given) }];
  });
}

/** Whether writes are kept back is for the user of a node, and none of its options. */
function checkCacheOptions(cache: unknown): void {
  if (!isJsonObject(cache)) return;
  const unknown = Object.keys(cache).find((name) => name !== 'direct' && name !== 'no-flush');
  if (unknown !== undefined) throw invalid(`Cannot change the option 'cache.${unknown}'`);
}
