/**
 * Whether nodes are active (specification: graph, section 2, `active`).
 *
 * Somebody else may have the images of inactive nodes: another process that the machine has moved to. Nothing is written
 * to them, their locks are those of readers, what is stored with them was stored when they became inactive, and all of it
 * is read anew when they are active again. Always: what is below an active node is active.
 */
import { BlockError } from '../base/errors.ts';
import { BlockBackend } from './backend.ts';
import type { Edge } from './edge.ts';
import type { BlockGraph } from './graph.ts';
import type { BlockNode } from './node.ts';
import type { OpenFlags } from './open-context.ts';
import { topologicalOrder } from './permissions.ts';
import { carryOut } from './reopen.ts';

/**
 * A node and what is below it. Inactive becomes what no active node uses. Errors: an active parent, a user who writes,
 * what cannot be stored or opened again; nothing has changed then.
 */
export async function setActive(graph: BlockGraph, node: BlockNode, active: boolean): Promise<void> {
  if (!active && hasActiveParent(node, new Set())) {
    throw new BlockError('EPERM', 'Node has active parent node');
  }
  const changing = active ? inactiveFrom(node) : unusedFrom(node);
  if (changing.size === 0) return;
  for (const one of changing) one.drainedBegin();
  try {
    for (const one of changing) await one.whenIdle();
    const plan = [...changing].map((one) => ({
      node: one,
      options: one.options,
      flags: active ? activeFlags(one.flags) : inactiveFlags(one.flags),
      children: [],
      complete: false,
    }));
    await carryOut(graph, plan);
  } finally {
    for (const one of changing) one.drainedEnd();
  }
}

/** Every node; those of jobs, and those that somebody writes to, stay active. Errors: what cannot be stored or opened again. */
export async function setAllActive(graph: BlockGraph, active: boolean): Promise<void> {
  for (const node of graph.nodes()) {
    if (!active && [...node.parents].some(isBusy)) continue;
    try {
      await setActive(graph, node, active);
    } catch (error) {
      if (active || !(error instanceof BlockError) || error.errno !== 'EPERM') throw error;
    }
  }
}

/** A node above decides for what is below it, and a job needs its nodes. */
function isBusy({ parent, parentNode }: Edge): boolean {
  return parentNode !== undefined || (parent instanceof BlockBackend && parent.job !== undefined);
}

function inactiveFrom(node: BlockNode): Set<BlockNode> {
  return new Set(topologicalOrder([node]).filter(({ flags }) => flags.inactive));
}

/** Parents first. */
function unusedFrom(root: BlockNode): Set<BlockNode> {
  const unused = new Set<BlockNode>();
  for (const node of topologicalOrder([root])) {
    if (!node.flags.inactive && !hasActiveParent(node, unused)) unused.add(node);
  }
  return unused;
}

function hasActiveParent(node: BlockNode, except: ReadonlySet<BlockNode>): boolean {
  for (const { parentNode } of node.parents) {
    if (parentNode && !parentNode.flags.inactive && !except.has(parentNode)) return true;
  }
  return false;
}

function activeFlags({ inactive, ...flags }: OpenFlags): OpenFlags {
  return { ...flags, readOnly: inactive?.readOnly ?? flags.readOnly, inactive: undefined };
}

function inactiveFlags(flags: OpenFlags): OpenFlags {
  return { ...flags, readOnly: true, inactive: { readOnly: flags.readOnly, inherited: false } };
}
