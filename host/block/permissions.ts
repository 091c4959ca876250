/**
 * Permissions: what the parents of a node may do to it, and what they let each other do (specification: graph,
 * section 7).
 *
 * Every edge holds two masks: `perm`, what its parent does, and `shared`, what it lets others do at the same time.
 * For any two parents of a node, the permissions of one are within what the other shares. A change is worked out for
 * the whole subtree below first (`check`), which may fail and then leaves nothing behind, and only then taken over.
 * Drivers see both steps: the file driver keeps the image locks of other processes in step with them.
 */
import { asBlockError, BlockError } from '../base/errors.ts';
import { permissionRefused } from '../trace/events.ts';
import type { Edge } from './edge.ts';
import type { BlockNode } from './node.ts';

/** What a user does to a node, or lets others do at the same time: bits of a mask. */
export const Perm = {
  none: 0,
  /** Read, and see consistent data. */
  consistentRead: 1,
  /** Change visible data. */
  write: 2,
  /** Write without changing visible data. */
  writeUnchanged: 4,
  resize: 8,
  all: 15,
} as const;

export interface Permissions {
  perm: number;
  shared: number;
}

const permissionNames: readonly [number, string][] = [
  [Perm.consistentRead, 'consistent read'],
  [Perm.write, 'write'],
  [Perm.writeUnchanged, 'write unchanged'],
  [Perm.resize, 'resize'],
];

/** `write, resize` */
function describePermissions(mask: number): string {
  return permissionNames
    .filter(([bit]) => mask & bit)
    .map(([, name]) => name)
    .join(', ');
}

/** What all parents together do, and what every one of them shares. */
export function cumulativePermissions(node: BlockNode): Permissions {
  let perm = 0;
  let shared: number = Perm.all;
  for (const edge of node.parents) {
    perm |= edge.perm;
    shared &= edge.shared;
  }
  return { perm, shared };
}

const writing = Perm.write | Perm.writeUnchanged | Perm.resize;

/** What a parent node needs on a child by the role of that child, when its driver has no rule of its own. */
export function defaultChildPermissions(parent: BlockNode, edge: Edge, cumulative: Permissions): Permissions {
  let { perm, shared } = cumulative;
  switch (edge.role) {
    case 'filtered':
      break;
    case 'image':
      // What it is for, only the driver knows.
      return { perm: Perm.none, shared: Perm.all };
    case 'cow':
      return {
        perm: perm & Perm.consistentRead,
        shared:
          Perm.consistentRead |
          Perm.writeUnchanged |
          (cumulative.shared & Perm.write ? Perm.write | Perm.resize : 0),
      };
    default: {
      // Both kinds of child: the driver depends on the length, and may have to grow the file to store data.
      if (perm & Perm.writeUnchanged) perm |= Perm.write;
      if (perm & Perm.write) perm |= Perm.resize;
      shared &= ~Perm.resize;
      if (edge.role !== 'data') {
        perm |= Perm.consistentRead;
        if (!parent.readOnly) perm |= Perm.write | Perm.resize;
        shared = (shared | Perm.writeUnchanged) & ~(Perm.write | Perm.resize);
      }
    }
  }
  if (parent.readOnly) perm &= ~writing;
  return { perm, shared };
}

function childPermissions(parent: BlockNode, edge: Edge, cumulative: Permissions): Permissions {
  const needed =
    // While a driver is being opened its children are attached before it exists.
    parent.driver?.childPermissions?.(edge, cumulative) ?? defaultChildPermissions(parent, edge, cumulative);
  if (edge.node.flags.forceShare) return { perm: needed.perm, shared: Perm.all };
  // Whoever has the image meanwhile writes to it.
  return parent.flags.inactive
    ? { perm: needed.perm, shared: needed.shared | Perm.write | Perm.resize }
    : needed;
}

function checkConflicts(node: BlockNode, planned: Plan): void {
  for (const a of node.parents) {
    for (const b of node.parents) {
      if (a === b) continue;
      const conflict = planned.edge(a).perm & ~planned.edge(b).shared;
      if (!conflict) continue;
      throw new BlockError(
        'EPERM',
        `Permission conflict on node '${node.name}': permissions '${describePermissions(conflict)}' are both ` +
          `required by ${a.parent.describe()} (uses node '${node.name}' as '${a.name}' child) and unshared by ` +
          `${b.parent.describe()} (uses node '${node.name}' as '${b.name}' child).`,
      );
    }
  }
}

/** Whoever cannot resize cannot write a last unit that the node has only a part of. */
function checkWritableEnd(node: BlockNode, perm: number): void {
  if ((perm & (Perm.write | Perm.writeUnchanged)) === 0 || perm & Perm.resize) return;
  const alignment = node.driver?.limits?.requestAlignment ?? 1;
  if (node.length % alignment === 0) return;
  throw new BlockError(
    'EINVAL',
    "Cannot get 'write' permission without 'resize': Image size is not a multiple of request alignment",
  );
}

/** The masks that will hold once a change is taken over. */
class Plan {
  private readonly edges = new Map<Edge, Permissions>();

  edge(edge: Edge): Permissions {
    return this.edges.get(edge) ?? edge;
  }

  set(edge: Edge, permissions: Permissions): void {
    this.edges.set(edge, permissions);
  }

  cumulative(node: BlockNode): Permissions {
    let perm = 0;
    let shared: number = Perm.all;
    for (const parent of node.parents) {
      const planned = this.edge(parent);
      perm |= planned.perm;
      shared &= planned.shared;
    }
    return { perm, shared };
  }

  takeOver(): void {
    for (const [edge, { perm, shared }] of this.edges) {
      edge.perm = perm;
      edge.shared = shared;
    }
  }
}

/** Every node reachable from `roots`, parents before their children. */
export function topologicalOrder(roots: readonly BlockNode[]): BlockNode[] {
  const order: BlockNode[] = [];
  const seen = new Set<BlockNode>();
  const visit = (node: BlockNode): void => {
    if (seen.has(node)) return;
    seen.add(node);
    for (const edge of node.children.values()) visit(edge.node);
    order.unshift(node);
  };
  for (const root of roots) visit(root);
  return order;
}

interface PermissionChange {
  /** Root edges whose masks change, with the new ones. */
  edges?: readonly { edge: Edge; perm: number; shared: number }[];
  /** Nodes whose parents or children were changed. */
  nodes: readonly BlockNode[];
  /** Nodes that were writable until this change. */
  becomingReadOnly?: ReadonlySet<BlockNode>;
}

/**
 * Works out and takes over the permissions below the given nodes. On failure every mask and every lock is as before;
 * the caller undoes its change of the edges themselves.
 */
export async function updatePermissions(change: PermissionChange): Promise<void> {
  const plan = new Plan();
  for (const { edge, perm, shared } of change.edges ?? []) plan.set(edge, { perm, shared });
  const order = topologicalOrder(change.nodes);
  const checked: { node: BlockNode; cumulative: Permissions }[] = [];
  let name = '';
  try {
    for (const node of order) {
      name = node.name;
      checkConflicts(node, plan);
      const cumulative = plan.cumulative(node);
      if (node.flags.inactive && cumulative.perm & writing) {
        const refused = describePermissions(cumulative.perm & writing);
        throw new BlockError('EPERM', `Permission '${refused}' unavailable on inactive node`);
      }
      if (node.readOnly && cumulative.perm & (Perm.write | Perm.writeUnchanged)) {
        throw new BlockError(
          'EPERM',
          change.becomingReadOnly?.has(node)
            ? `Read-only block node '${node.name}' cannot support read-write users`
            : 'Block node is read-only',
        );
      }
      if (node.driver?.checkPermissions) {
        checked.push({ node, cumulative });
        await node.driver.checkPermissions(cumulative.perm, cumulative.shared);
      }
      checkWritableEnd(node, cumulative.perm);
      for (const edge of node.children.values()) plan.set(edge, childPermissions(node, edge, cumulative));
    }
  } catch (error) {
    for (const { node } of checked.reverse()) node.driver.abortPermissions?.();
    if (permissionRefused.enabled) {
      permissionRefused.emit({ node: name, message: asBlockError(error).message });
    }
    throw error;
  }
  plan.takeOver();
  for (const { node, cumulative } of checked) {
    await node.driver.setPermissions?.(cumulative.perm, cumulative.shared);
  }
}
