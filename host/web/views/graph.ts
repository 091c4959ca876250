/**
 * The picture of the block graph: devices and jobs on the left, what they stand on to the right. A node's column is the longest
 * way to it; inside a column nodes stand near their parents.
 */
import { html, svg, type TemplateResult } from 'lit';
import type { GraphInfo, NodeInfo } from '../answers.ts';
import type { Model } from '../model.ts';

const boxWidth = 132;
const boxHeight = 42;
const columnGap = 46;
const rowGap = 16;
const margin = 10;
const shownLetters = 17;
/** It shrinks that far to be seen whole; where that is not enough it is moved. */
const leastScale = 0.75;

type Kind = 'device' | 'job' | 'filter' | 'format' | 'protocol';

interface Box {
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

const left = (box: Box): number => margin + box.column * (boxWidth + columnGap);
const top = (box: Box): number => margin + box.row * (boxHeight + rowGap);
const shorten = (text: string): string =>
  text.length > shownLetters ? `${text.slice(0, shownLetters - 1)}…` : text;

export function graphView(model: Model): TemplateResult {
  const boxes = layOut(model.graph, model.nodes);
  const byId = new Map(boxes.map((box) => [box.id, box]));
  const width = Math.max(0, ...boxes.map(left)) + boxWidth + margin;
  const height = Math.max(0, ...boxes.map(top)) + boxHeight + margin;
  return html`
    <section class="panel" aria-labelledby="graph-title">
      <header><h2 id="graph-title">Block graph</h2><span class="hint">${boxes.length} nodes</span></header>
      <div class="graph" tabindex="0" role="group" aria-label="Picture of the block graph">
        <svg viewBox="0 0 ${width} ${height}" style="max-width: ${width}px; min-width: ${leastScale * width}px"
          role="img" aria-label=${describe(boxes)}>
          ${model.graph.edges.map((edge) => edgeView(byId.get(edge.parent), byId.get(edge.child), edge.name))}
          ${boxes.map(boxView)}
        </svg>
      </div>
    </section>
  `;
}

function describe(boxes: readonly Box[]): string {
  return boxes.map(({ name, what }) => `${name || what} (${what})`).join(', ');
}

function boxView(box: Box): TemplateResult {
  const [x, y] = [left(box), top(box)];
  return svg`
    <g class="box ${box.kind}">
      <title>${box.name || box.what}: ${box.what}</title>
      <rect x=${x} y=${y} width=${boxWidth} height=${boxHeight} rx="6"></rect>
      <text x=${x + 9} y=${y + 17}>${shorten(box.name || 'unnamed')}</text>
      <text class="what" x=${x + 9} y=${y + 33}>${box.what}</text>
    </g>
  `;
}

function edgeView(from: Box | undefined, to: Box | undefined, name: string): TemplateResult | undefined {
  if (!from || !to) return undefined;
  const [x1, y1] = [left(from) + boxWidth, top(from) + boxHeight / 2];
  const [x2, y2] = [left(to), top(to) + boxHeight / 2];
  const bend = Math.max(24, (x2 - x1) / 2);
  const isJobs = from.kind === 'job';
  return svg`
    <path class="edge ${isJobs ? 'busy' : ''}" d="M ${x1} ${y1} C ${x1 + bend} ${y1}, ${x2 - bend} ${y2}, ${x2} ${y2}"></path>
    ${name === 'root' || isJobs ? undefined : svg`<text class="edge-name" x=${x2 - 6} y=${y2 - 5} text-anchor="end">${name}</text>`}
  `;
}
