/**
 * Changing how nodes are open, without closing them (specification: graph, section 2, blockdev-reopen).
 *
 * Several nodes change together: everything is checked and prepared first, drivers included; then edges, flags and
 * permissions change in one step; then the drivers take over what they prepared. Whatever fails before that leaves
 * all as it was. Children that were opened inline follow their parents; those named by reference are exchanged.
 */
import { asBlockError, BlockError, invalid } from '../base/errors.ts';
import { inDictionaryOrder } from '../qapi/dictionary-order.ts';
import type { Checked } from '../qapi/types.ts';
import type { ReopenStep } from './driver.ts';
import type { Edge } from './edge.ts';
import { flattened } from './filename.ts';
import type { BlockGraph } from './graph.ts';
import type { GraphChange } from './graph-change.ts';
import type { BlockNode } from './node.ts';
import type { OpenFlags } from './open-context.ts';
import { openNode } from './opener.ts';
import {
  childDefaults,
  commonOptions,
  isCommonOption,
  type NodeOptions,
  ownOptions,
  resolveFlags,
} from './options.ts';

/** What becomes of one node. */
export interface Planned {
  node: BlockNode;
  options: NodeOptions;
  flags: OpenFlags;
  children: ChildChange[];
  own?: Checked<object>;
  step?: ReopenStep | undefined;
}

export interface ChildChange {
  name: string;
  edge: Edge | undefined;
  /** Undefined: none any more. */
  to: BlockNode | undefined;
}

/** Children that may be exchanged. */
export const exchangeable = ['file', 'backing'] as const;

export interface ReopenRequest {
  node: BlockNode;
  /** All of them, in the form of blockdev-add: what is not said goes back to its default. */
  options: NodeOptions;
}

/** Reopens all nodes or none. Errors: QEMU's words. */
export async function reopen(graph: BlockGraph, requests: readonly ReopenRequest[]): Promise<void> {
  const nodes = requests.map(({ node }) => node);
  for (const node of nodes) node.drainedBegin();
  const opened: BlockNode[] = [];
  try {
    for (const node of nodes) await node.whenIdle();
    const plan: Planned[] = [];
    for (const { node, options } of requests) {
      await planNode(graph, plan, node, options, resolveFlags(commonOptions(options, node.definition), {}), {
        complete: true,
        opened,
      });
    }
    await carryOut(graph, plan);
  } finally {
    for (const node of nodes) node.drainedEnd();
    // The edges have their own references.
    for (const node of opened) await graph.unref(node);
  }
}

/** Makes a node, and the files it opened by itself, read-only or writable. Errors: as `reopen`. */
export async function setReadOnly(graph: BlockGraph, node: BlockNode, readOnly: boolean): Promise<void> {
  if (node.readOnly === readOnly) return;
  await node.drainBegin();
  try {
    const plan: Planned[] = [];
    const options = { ...node.options, 'read-only': readOnly };
    const flags = { ...node.flags, readOnly };
    await planNode(graph, plan, node, options, flags, { complete: false, opened: [] });
    await carryOut(graph, plan);
  } finally {
    node.drainEnd();
  }
}

interface PlanMode {
  /** The options say everything, and a child must be among them. */
  complete: boolean;
  /** Nodes that were opened on the way. */
  opened: BlockNode[];
}

async function planNode(
  graph: BlockGraph,
  plan: Planned[],
  node: BlockNode,
  options: NodeOptions,
  flags: OpenFlags,
  mode: PlanMode,
): Promise<void> {
  const planned: Planned = { node, options, flags, children: [] };
  plan.push(planned);
  if (mode.complete) await planChildren(graph, planned, mode);
  checkOptions(node, options, flags);
  for (const edge of node.children.values()) {
    const child = edge.node;
    if (child.inheritsFrom !== node || planned.children.some((change) => change.edge === edge)) continue;
    const given = options[edge.name];
    const inline = mode.complete && isInline(given) ? given : child.options;
    const defaults = childDefaults(flags, edge.role);
    const childFlags = resolveFlags(commonOptions(inline, child.definition), defaults);
    await planNode(graph, plan, child, inline, childFlags, {
      ...mode,
      complete: mode.complete && isInline(given),
    });
  }
}

function isInline(option: unknown): option is NodeOptions {
  return typeof option === 'object' && option !== null;
}

/** Finds which children are to be exchanged for others. */
async function planChildren(graph: BlockGraph, planned: Planned, mode: PlanMode): Promise<void> {
  const { node, options } = planned;
  if (options['driver'] !== undefined && options['driver'] !== node.definition.name && !node.backing()) {
    throw invalid(`Cannot change the option 'driver'`);
  }
  for (const name of exchangeable) {
    const edge = node.children.get(name);
    const given = options[name];
    if (given === undefined) {
      const names = name === 'backing' && (edge || node.driver.backing !== undefined);
      if (names && node.definition.supportsBacking) throw invalid(`backing is missing for '${node.name}'`);
      continue;
    }
    if (given === null || given === '') {
      if (edge) planned.children.push({ name, edge, to: undefined });
      continue;
    }
    if (isInline(given)) {
      if (edge) continue;
      const opened = await openNode(graph, given, { defaults: childDefaults(planned.flags, 'cow') });
      mode.opened.push(opened);
      planned.children.push({ name, edge, to: opened });
      continue;
    }
    const to = graph.lookup(undefined, given as string);
    if (edge?.node.implicit) throw invalid(`Cannot replace implicit ${name} child of ${node.name}`);
    if (edge?.node === to) continue;
    if (!edge && name === 'file') throw invalid('Cannot set file child to format node without file child');
    planned.children.push({ name, edge, to });
  }
}

/** Options that cannot change must be as they were. */
export function checkOptions(node: BlockNode, options: NodeOptions, flags: OpenFlags): void {
  const { definition } = node;
  if (options['driver'] !== undefined && options['driver'] !== definition.name) {
    throw invalid("Cannot change the option 'driver'");
  }
  checkActivity(node, options, flags);
  checkReopenable(node);
  if (flags.forceShare !== node.flags.forceShare) throw invalid("Cannot change the option 'force-share'");
  const childNames = new Set((definition.children ?? []).map(({ name }) => name));
  for (const [key, value] of Object.entries(options)) {
    const base = key.replace(/\..*/s, '');
    if (isCommonOption(key) || childNames.has(base)) continue;
    if (definition.reopenableOptions?.includes(key)) continue;
    if (value !== undefined && !isSame(value, node.options[key])) {
      throw invalid(`Cannot change the option '${key}'`);
    }
  }
  const fixed = (definition.strongOptions ?? []).filter(
    (name) => !definition.reopenableOptions?.includes(name),
  );
  const given = strongMembers(options, fixed);
  for (const [key] of inDictionaryOrder(strongMembers(node.options, fixed))) {
    if (given[key] === undefined) throw invalid(`Option '${key}' cannot be reset to its default value`);
  }
}

/** What was once said of it has to be said again; until then the node stays as it is. */
function checkActivity(node: BlockNode, options: NodeOptions, flags: OpenFlags): void {
  const [said, given] = [node.options['active'], options['active']];
  if (said !== undefined && given !== said) {
    throw invalid("Option 'active' cannot be reset to its default value");
  }
  if (given !== undefined || !node.flags.inactive) return;
  flags.inactive = { ...node.flags.inactive, readOnly: flags.inactive?.readOnly ?? flags.readOnly };
  flags.readOnly = true;
}

/** Throws for a node that stays open the way it is. */
function checkReopenable({ driver, definition, name }: BlockNode): void {
  if (driver.reopen) return;
  throw new BlockError(
    'ENOTSUP',
    `Block format '${definition.name}' used by node '${name}' does not support reopening files`,
  );
}

function strongMembers(options: NodeOptions, names: readonly string[]): Record<string, unknown> {
  return Object.assign({}, ...names.map((name) => flattened(name, options[name])));
}

function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b) || String(a) === String(b);
}

/** All of the plan or nothing, parents before their children. What is stored beside nodes is kept up to date. */
export async function carryOut(graph: BlockGraph, plan: readonly Planned[]): Promise<void> {
  const { observer } = graph;
  const becomeActive = plan.filter(({ node, flags }) => node.flags.inactive && !flags.inactive);
  const becomeWritable = plan.filter(({ node, flags }) => node.readOnly && !flags.readOnly);
  const undo: (() => Promise<void>)[] = [];
  try {
    for (const planned of plan) {
      const { node, flags, options } = planned;
      if (flags.inactive && !node.flags.inactive) {
        await observer.beforeInactive(node);
        undo.push(() => observer.afterActive(node));
        await node.flush();
      } else if (!node.readOnly && flags.readOnly) {
        await observer.beforeReadOnly(node);
        undo.push(() => observer.afterWritable(node));
        await node.flush();
      }
      planned.own = ownOptions(node.definition, options);
      planned.step = await node.driver.reopen?.({ flags, options: planned.own });
    }
    await graph.change((change) => {
      for (const planned of plan) applyEdges(change, planned);
      for (const { node, flags } of plan) change.setFlags(node, flags);
    });
  } catch (error) {
    for (const { step } of [...plan].reverse()) await step?.abort?.();
    for (const act of undo) await act();
    throw asBlockError(error);
  }
  for (const { node, options, own, step } of plan) {
    node.options = options;
    node.own = own;
    await step?.commit?.();
  }
  for (const planned of [...plan].reverse()) {
    const { node, step } = planned;
    await step?.afterCommit?.();
    await node.refreshLength();
    if (becomeActive.includes(planned)) await observer.afterActive(node);
    else if (becomeWritable.includes(planned)) await observer.afterWritable(node);
  }
}

function applyEdges(change: GraphChange, { node, children }: Planned): void {
  for (const { name, edge, to } of children) {
    if (edge && to) change.moveEdge(edge, to);
    else if (edge) change.removeChild(edge);
    else if (to) change.addChild(node, to, name, 'cow');
  }
}
