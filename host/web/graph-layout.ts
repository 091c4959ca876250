/**
 * Where the nodes of the block graph stand in its picture: devices and jobs on the left, what they stand on to the right. A node's
 * column is the longest way to it; inside a column nodes stand near their parents.
 */
import type { GraphInfo, NodeInfo } from './answers.ts';

type Kind = 'device' | 'job' | 'filter' | 'format' | 'protocol';

export interface Box {
  /** Of the node, in the graph that was asked for. */
  id: number;
  kind: Kind;
  name: string;
  what: string;
  column: number;
  row: number;
}

const protocols = new Set(['file', 'opfs', 'blob', 'http', 'https', 'memory', 'null-co', 'null-aio']);
const formats = new Set(['qcow2', 'raw']);

function kindOf(type: GraphInfo['nodes'][number]['type'], driver: string | undefined): Kind {
  if (type === 'block-backend') return 'device';
  if (type === 'block-job') return 'job';
  if (driver !== undefined && protocols.has(driver)) return 'protocol';
  return driver !== undefined && formats.has(driver) ? 'format' : 'filter';
}

/** Longest way from a node without parents; the graph has no cycles. */
function columnsOf({ nodes, edges }: GraphInfo): Map<number, number> {
  const columns = new Map(nodes.map(({ id }) => [id, 0]));
  for (let round = 0, moved = true; moved && round < nodes.length; round++) {
    moved = false;
    for (const { parent, child } of edges) {
      const least = (columns.get(parent) ?? 0) + 1;
      if ((columns.get(child) ?? 0) >= least) continue;
      columns.set(child, least);
      moved = true;
    }
  }
  return columns;
}

/** `infos` tell what the drivers of nodes are. */
export function layOut(graph: GraphInfo, infos: readonly NodeInfo[]): Box[] {
  const columns = columnsOf(graph);
  const boxes = graph.nodes.map(({ id, type, name }): Box => {
    const info = infos.find((one) => one['node-name'] === name);
    const kind = kindOf(type, info?.drv);
    const what = kind === 'device' ? 'device' : kind === 'job' ? 'job' : (info?.drv ?? 'filter');
    const column = columns.get(id)!; // each node of the graph has one
    return { id, kind, name, what: info?.ro ? `${what}, read-only` : what, column, row: 0 };
  });
  const rows = new Map<number, number>();
  for (let column = 0; column <= Math.max(0, ...boxes.map((box) => box.column)); column++) {
    const wish = (box: Box): number => {
      const parents = graph.edges
        .filter(({ child }) => child === box.id)
        .map(({ parent }) => rows.get(parent));
      const known = parents.filter((row) => row !== undefined);
      return known.length > 0 ? known.reduce((sum, row) => sum + row, 0) / known.length : box.id;
    };
    const standing = boxes
      .filter((box) => box.column === column)
      .map((box) => ({ box, wish: wish(box) }))
      .sort((a, b) => a.wish - b.wish || a.box.id - b.box.id);
    let next = 0;
    for (const { box, wish } of standing) {
      box.row = column === 0 ? next : Math.max(next, Math.round(wish));
      rows.set(box.id, box.row);
      next = box.row + 1;
    }
  }
  return boxes;
}
