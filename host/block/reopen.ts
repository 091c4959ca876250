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
import { BlockNode } from './node.ts';
import type { OpenFlags } from './open-context.ts';
import {
  checkDetectZeroes,
  childDefaults,
  commonOptions,
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
  /** The options say everything, what the backing file is to be among it. */
  complete: boolean;
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
  try {
    for (const node of nodes) await node.whenIdle();
    const plan: Planned[] = [];
    for (const { node, options } of requests) {
      // Of all options this one stays when nothing is said of it.
      const { discard } = node.flags;
      const flags = resolveFlags(commonOptions(options, node.definition), { discard });
      planNode(graph, plan, node, options, flags, { complete: true });
    }
    await carryOut(graph, plan);
  } finally {
    for (const node of nodes) node.drainedEnd();
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
    planNode(graph, plan, node, options, flags, { complete: false });
    await carryOut(graph, plan);
  } finally {
    node.drainEnd();
  }
}

interface PlanMode {
  /** The options say everything, and a child must be among them. */
  complete: boolean;
}

function planNode(
  graph: BlockGraph,
  plan: Planned[],
  node: BlockNode,
  options: NodeOptions,
  flags: OpenFlags,
  mode: PlanMode,
): void {
  const planned: Planned = { node, options, flags, children: [], complete: mode.complete };
  plan.push(planned);
  checkDetectZeroes(flags);
  if (mode.complete) planChildren(graph, planned);
  checkReopening(node, options, flags);
  for (const edge of node.children.values()) {
    const child = edge.node;
    if (child.inheritsFrom !== node || planned.children.some((change) => change.edge === edge)) continue;
    const given = options[edge.name];
    const inline = mode.complete && isInline(given) ? given : child.options;
    const defaults = childDefaults(flags, edge.role);
    const childFlags = resolveFlags(commonOptions(inline, child.definition), defaults);
    planNode(graph, plan, child, inline, childFlags, { complete: mode.complete && isInline(given) });
  }
}

function isInline(option: unknown): option is NodeOptions {
  return typeof option === 'object' && option !== null;
}

/** Finds which children are to be exchanged for others. */
function planChildren(graph: BlockGraph, planned: Planned): void {
  const { node, options } = planned;
  for (const name of exchangeable) {
    const edge = node.children.get(name);
    const given = options[name];
    if (given === undefined) continue;
    if (given === null || given === '') {
      if (edge) planned.children.push({ name, edge, to: undefined });
      continue;
    }
    if (isInline(given)) continue;
    const to = graph.lookup(undefined, given as string);
    if (edge?.node.implicit) throw invalid(`Cannot replace implicit ${name} child of ${node.name}`);
    if (edge?.node === to) continue;
    if (!edge && name === 'file') throw invalid('Cannot set file child to format node without file child');
    planned.children.push({ name, edge, to });
  }
}

/** What can be said before anything is prepared. */
export function checkReopening(node: BlockNode, options: NodeOptions, flags: OpenFlags): void {
  checkActivity(node, options, flags);
  checkReopenable(node);
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

/** Options that can change, whatever the driver. */
const changeable = [
  'node-name',
  'discard',
  'cache',
  'read-only',
  'auto-read-only',
  'active',
  'detect-zeroes',
];

/** By their dotted names those of `options` that stay as they are while the node is open. */
function fixedOptions(node: BlockNode, options: NodeOptions): [string, unknown][] {
  const { definition, children } = node;
  const flat = Object.entries(options).flatMap(([name, value]) => {
    if (definition.reopenableOptions?.includes(name)) return [];
    if (changeable.includes(name)) return [];
    if (value instanceof BlockNode) return [[name, value.name] as [string, unknown]];
    // Those of a child that belongs to this node are its own.
    const edge = children.get(name);
    if (isInline(value) && edge?.node.inheritsFrom === node) return [];
    return Object.entries(flattened(name, value));
  });
  return inDictionaryOrder(Object.fromEntries(flat));
}

/** What was said has to be said again. */
function checkResets({ node, options }: Planned): void {
  const names = childNames(node);
  const given = new Set(fixedOptions(node, options).map(([name]) => name));
  for (const [name] of fixedOptions(node, node.options)) {
    if (names.has(name.replace(/\..*/s, ''))) continue;
    if (!given.has(name)) throw invalid(`Option '${name}' cannot be reset to its default value`);
  }
}

function checkBackingNamed({ node, options }: Planned): void {
  if (options['backing'] !== undefined || !node.definition.supportsBacking) return;
  if (node.backing() || node.driver.backing) throw invalid(`backing is missing for '${node.name}'`);
}

/** What is said has to be as it was. */
function checkUnchanged({ node, options, children }: Planned): void {
  const before = new Map(fixedOptions(node, { ...node.options, driver: node.definition.name }));
  for (const [name, value] of fixedOptions(node, options)) {
    const edge = node.children.get(name);
    const isSettled = edge?.node.name === value || children.some((change) => change.name === name);
    if (isSettled || value === null || (before.has(name) && isSame(value, before.get(name)))) continue;
    throw cannotChange(name);
  }
}

function childNames({ definition }: BlockNode): Set<string> {
  return new Set(['backing', ...(definition.children ?? []).map(({ name }) => name)]);
}

function cannotChange(name: string): BlockError {
  return invalid(`Cannot change the option '${name}'`);
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
      checkResets(planned);
      if (flags.inactive && !node.flags.inactive) {
        await observer.beforeInactive(node);
        undo.push(() => observer.afterActive(node));
        await node.flush();
      } else if (!node.readOnly && flags.readOnly) {
        await observer.beforeReadOnly(node);
        undo.push(() => observer.afterWritable(node));
        await node.flush();
      }
      if (options['driver'] === undefined || options['driver'] === node.definition.name) {
        planned.own = ownOptions(node.definition, options, cannotChange);
        planned.step = await node.driver.reopen?.({ flags, options: planned.own });
      }
      if (planned.complete) checkBackingNamed(planned);
      checkUnchanged(planned);
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
