/**
 * A change of several edges that happens altogether or not at all.
 *
 * Every step takes effect at once and notes how to undo itself. `BlockGraph.change` then works out the permissions of
 * everything touched; if that fails, the steps are undone in reverse order. References that are gained count at once, and
 * no node is closed before the change is over.
 *
 * A frozen edge is not moved or removed: a job relies on it.
 */
import { BlockError, invalid } from '../base/errors.ts';
import { type ChildRole, Edge } from './edge.ts';
import type { BlockNode } from './node.ts';
import type { OpType } from './op-blockers.ts';
import type { OpenFlags } from './open-context.ts';
import { Perm } from './permissions.ts';

/** What may be done with a node while it is somebody's backing file. */
const allowedOnBacking: readonly OpType[] = ['commit-target', 'stream', 'backup-source', 'backup-target'];

/** A drained node keeps a new parent quiet, and a parent that leaves is no longer held back by it. */
export function connect(edge: Edge): void {
  edge.node.parents.add(edge);
  edge.debugged = edge.node.driver?.debugEvent ? edge.node.driver : undefined;
  edge.countExclusion(1);
  if (edge.role === 'cow') {
    edge.blocker = { reason: `node is used as backing hd of '${edge.parentNode?.name}'` };
    edge.node.opBlockers.blockAll(edge.blocker, allowedOnBacking);
  }
  for (let depth = edge.node.drainDepth; depth > 0; depth--) edge.parent.drainedBegin();
}

export function disconnect(edge: Edge): void {
  edge.node.parents.delete(edge);
  edge.countExclusion(-1);
  if (edge.blocker) edge.node.opBlockers.unblockAll(edge.blocker);
  for (let depth = edge.node.drainDepth; depth > 0; depth--) edge.parent.drainedEnd();
}

/** Throws when a job relies on `edge` as it is. `how` is what the message calls the link. */
export function checkNotFrozen(edge: Edge, how = 'frozen '): void {
  if (edge.frozen === 0) return;
  throw new BlockError(
    'EPERM',
    `Cannot change ${how}'${edge.name}' link from '${edge.parentNode?.name ?? ''}' to '${edge.node.name}'`,
  );
}

export class GraphChange {
  private readonly undoSteps: (() => void)[] = [];
  /** Runs when the change is over, whether it stands or not. */
  private readonly endSteps: (() => void)[] = [];
  readonly touched = new Set<BlockNode>();
  /** Nodes that were writable until this change. */
  readonly becomingReadOnly = new Set<BlockNode>();
  /** One reference each, which the change holds. */
  readonly gained: BlockNode[] = [];
  readonly lost: BlockNode[] = [];

  /** `edge` leads to `to` from now on. Both nodes should be drained: a request on its way would arrive at the old one. */
  moveEdge(edge: Edge, to: BlockNode): void {
    const from = edge.node;
    if (from === to) return;
    checkNotFrozen(edge);
    this.checkCycle(edge.parentNode, to, edge.name);
    checkActive(edge.parentNode, to, edge.name);
    this.gain(to);
    this.holdQuiet(edge);
    this.point(edge, to);
    this.undoSteps.push(() => this.point(edge, from));
    this.touched.add(from).add(to);
    this.lost.push(from);
  }

  /** A new child of a node. Its permissions follow from its role and the parents of `parent`. */
  addChild(parent: BlockNode, child: BlockNode, name: string, role: ChildRole): Edge {
    this.checkCycle(parent, child, name);
    checkActive(parent, child, name);
    this.gain(child);
    const edge = new Edge(name, role, parent, child);
    edge.perm = Perm.none;
    parent.children.set(name, edge);
    connect(edge);
    this.undoSteps.push(() => {
      parent.children.delete(name);
      disconnect(edge);
    });
    this.touched.add(parent).add(child);
    return edge;
  }

  /** `edge` is gone; its parent must be a node. */
  removeChild(edge: Edge): void {
    const parent = edge.parentNode!; // the caller's duty
    checkNotFrozen(edge);
    this.holdQuiet(edge);
    const children = [...parent.children];
    parent.children.delete(edge.name);
    disconnect(edge);
    this.undoSteps.push(() => {
      // Children have an order, which queries show.
      parent.children.clear();
      for (const [name, child] of children) parent.children.set(name, child);
      connect(edge);
    });
    this.touched.add(parent).add(edge.node);
    this.lost.push(edge.node);
  }

  /** How `node` is open from now on. In place: drivers hold on to the object. */
  setFlags(node: BlockNode, flags: OpenFlags): void {
    const before = { ...node.flags };
    if (!before.readOnly && flags.readOnly) this.becomingReadOnly.add(node);
    Object.assign(node.flags, flags);
    this.undoSteps.push(() => Object.assign(node.flags, before));
    this.touched.add(node);
  }

  undo(): void {
    for (const step of this.undoSteps.reverse()) step();
  }

  end(): void {
    for (const step of this.endSteps) step();
  }

  private gain(node: BlockNode): void {
    node.ref();
    this.gained.push(node);
  }

  /** On the way from one drained node to another nobody may take it that draining is over. */
  private holdQuiet(edge: Edge): void {
    edge.parent.drainedBegin();
    this.endSteps.push(() => edge.parent.drainedEnd());
  }

  private point(edge: Edge, to: BlockNode): void {
    disconnect(edge);
    edge.node = to;
    connect(edge);
  }

  private checkCycle(parent: BlockNode | undefined, child: BlockNode, name: string): void {
    if (!parent || !reaches(child, parent)) return;
    throw invalid(`Making '${child.name}' a ${name} child of '${parent.name}' would create a cycle`);
  }
}

/** Who is active relies on what is below it. */
function checkActive(parent: BlockNode | undefined, child: BlockNode, name: string): void {
  if (!parent || parent.flags.inactive || !child.flags.inactive) return;
  throw new BlockError(
    'EPERM',
    `Inactive '${child.name}' can't be a ${name} child of active '${parent.name}'`,
  );
}

function reaches(from: BlockNode, to: BlockNode): boolean {
  if (from === to) return true;
  for (const edge of from.children.values()) if (reaches(edge.node, to)) return true;
  return false;
}
