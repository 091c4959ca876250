/** x-debug-query-block-graph: devices, jobs and nodes, and the edges between them (specification: graph, section 12). */
import type { BlockBackend } from '../../block/backend.ts';
import type { Edge } from '../../block/edge.ts';
import type { BlockNode } from '../../block/node.ts';
import { array, empty, enumeration, int64, str, struct } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';

/** Bit i of a mask. */
const permissions = ['consistent-read', 'write', 'write-unchanged', 'resize'] as const;
const permissionType = enumeration('BlockPermission', permissions);

const graphType = struct('XDbgBlockGraph', {
  nodes: array(
    struct('XDbgBlockGraphNode', {
      id: int64,
      type: enumeration('XDbgBlockGraphNodeType', ['block-backend', 'block-job', 'block-driver']),
      name: str,
    }),
  ),
  edges: array(
    struct('XDbgBlockGraphEdge', {
      parent: int64,
      child: int64,
      name: str,
      perm: array(permissionType),
      'shared-perm': array(permissionType),
    }),
  ),
});

type NodeType = 'block-backend' | 'block-job' | 'block-driver';

/** Lists come out with what was added last in front. */
class GraphListing {
  readonly nodes: object[] = [];
  readonly edges: object[] = [];
  private readonly ids = new Map<object, number>();

  addNode(subject: object, type: NodeType, name: string): void {
    this.nodes.unshift({ id: this.idOf(subject), type, name });
  }

  addEdge(parent: object, edge: Edge): void {
    this.edges.unshift({
      parent: this.idOf(parent),
      child: this.idOf(shown(edge.node)),
      name: edge.name,
      perm: namesOf(edge.perm),
      'shared-perm': namesOf(edge.shared),
    });
  }

  private idOf(subject: object): number {
    const id = this.ids.get(subject) ?? this.ids.size + 1;
    this.ids.set(subject, id);
    return id;
  }
}

/** A node that is not shown has what it filters in its place. */
function shown(node: BlockNode): BlockNode {
  return (node.isHidden ? node.filtered() : undefined) ?? node;
}

function namesOf(mask: number): string[] {
  return permissions.filter((_, bit) => mask & (1 << bit)).reverse();
}

export const xDebugQueryBlockGraph = defineCommand({
  name: 'x-debug-query-block-graph',
  args: empty,
  returns: graphType,
  run({ graph, jobs }) {
    const listing = new GraphListing();
    const nodes = graph.nodes().reverse();
    const roots = nodes.flatMap((node) => [...node.parents]).filter((edge) => !edge.parentNode);
    const named = graph.backends.list();
    const anonymous = roots
      .map((edge) => edge.parent as BlockBackend)
      .filter((root) => !named.includes(root))
      .sort((a, b) => a.serial - b.serial);
    for (const backend of [...named, ...anonymous.filter((root) => !root.job)]) {
      listing.addNode(backend, 'block-backend', backend.name || backend.device?.name || '');
      if (backend.hasMedium) listing.addEdge(backend, backend.edge);
    }
    for (const job of jobs.list()) {
      if (!job.driver.isBlockJob) continue;
      listing.addNode(job, 'block-job', job.id);
      for (const { edge } of [...(job.driver.edges ?? [])].reverse()) listing.addEdge(job, edge);
    }
    for (const node of nodes.filter(({ isHidden }) => !isHidden)) {
      listing.addNode(node, 'block-driver', node.name);
      for (const edge of [...node.children.values()].reverse()) listing.addEdge(node, edge);
    }
    return { nodes: listing.nodes, edges: listing.edges };
  },
});
