/**
 * The block graph, as a picture that can be made larger and smaller, or as a list, in which what a node stands on is below it: the list is
 * read where the picture has no room.
 */
import { html, render, svg, type TemplateResult } from 'lit';
import { type Box, layOut } from '../graph-layout.ts';
import type { Model } from '../model.ts';

const boxWidth = 122;
const boxHeight = 42;
const columnGap = 46;
const rowGap = 16;
const margin = 10;
const shownLetters = 15;
/** By itself the picture shrinks that far to be seen whole; where that is not enough it is moved. */
const leastScale = 0.75;
const zoomStep = 1.25;
const zoomRange = [0.3, 3] as const;

type Form = 'picture' | 'list';

export class GraphView {
  private form: Form = matchMedia('(max-width: 560px)').matches ? 'list' : 'picture';
  /** Undefined: by itself. */
  private zoom: number | undefined;

  constructor(
    private readonly host: HTMLElement,
    private readonly model: Model,
  ) {
    this.draw();
  }

  draw(): void {
    render(this.view(), this.host);
  }

  private view(): TemplateResult {
    const { graph, nodes } = this.model;
    const boxes = layOut(graph, nodes);
    return html`
      <section class="panel" aria-labelledby="graph-title">
        <header>
          <h2 id="graph-title">Block graph</h2><span class="hint">${boxes.length} nodes</span>
          <span class="row fill">
            ${this.form === 'picture' ? this.zoomView() : undefined}
            ${(['picture', 'list'] as const).map((form) => this.formView(form))}
          </span>
        </header>
        <div class="graph" tabindex="0" role="group" aria-label="Block graph">
          ${this.form === 'picture' ? this.pictureView(boxes) : this.listView(boxes)}
        </div>
      </section>
    `;
  }

  private zoomView(): TemplateResult {
    const button = (label: string, title: string, zoom: () => number | undefined): TemplateResult =>
      html`<button type="button" class="quiet" aria-label=${title} title=${title} @click=${() => {
        this.zoom = zoom();
        this.draw();
      }}>${label}</button>`;
    return html`
      ${button('−', 'Smaller', () => this.zoomBy(1 / zoomStep))}
      ${button('+', 'Larger', () => this.zoomBy(zoomStep))}
      ${button('Fit', 'Fit in', () => undefined)}
    `;
  }

  private zoomBy(factor: number): number {
    const picture = this.host.querySelector('svg')!; // the buttons stand beside it
    const shown = picture.clientWidth / picture.viewBox.baseVal.width;
    return Math.min(zoomRange[1], Math.max(zoomRange[0], shown * factor));
  }

  private formView(form: Form): TemplateResult {
    return html`<button type="button" aria-pressed=${this.form === form} @click=${() => {
      this.form = form;
      this.draw();
    }}>${form === 'picture' ? 'Picture' : 'List'}</button>`;
  }

  private pictureView(boxes: readonly Box[]): TemplateResult {
    const byId = new Map(boxes.map((box) => [box.id, box]));
    const width = Math.max(0, ...boxes.map(left)) + boxWidth + margin;
    const height = Math.max(0, ...boxes.map(top)) + boxHeight + margin;
    const size =
      this.zoom === undefined
        ? `width: 100%; max-width: ${width}px; min-width: ${leastScale * width}px`
        : `width: ${this.zoom * width}px`;
    return html`
      <svg viewBox="0 0 ${width} ${height}" style=${size} role="img" aria-label=${describe(boxes)}>
        ${this.model.graph.edges.map((edge) => edgeView(byId.get(edge.parent), byId.get(edge.child), edge.name))}
        ${boxes.map(boxView)}
      </svg>
    `;
  }

  /** What stands on nothing else is at the top. A node that several stand on is told once with all that is below it. */
  private listView(boxes: readonly Box[]): TemplateResult {
    const { edges } = this.model.graph;
    const byId = new Map(boxes.map((box) => [box.id, box]));
    const told = new Set<number>();
    const item = (box: Box, edge: string): TemplateResult => {
      const below = told.has(box.id) ? [] : edges.filter(({ parent }) => parent === box.id);
      told.add(box.id);
      const children = below.map(({ child, name }) => item(byId.get(child)!, name)); // edges join nodes
      const role = edge === '' || edge === 'root' ? '' : `${edge}: `;
      return html`<li>
        <span class="kind ${box.kind}"></span><span class="hint">${role}</span><b>${box.name || 'unnamed'}</b>
        <span class="hint">${box.what}</span>
        ${children.length > 0 ? html`<ul>${children}</ul>` : undefined}
      </li>`;
    };
    const tops = boxes.filter(({ column }) => column === 0).sort((a, b) => a.row - b.row);
    return html`<ul>${tops.map((box) => item(box, ''))}</ul>`;
  }
}

const left = (box: Box): number => margin + box.column * (boxWidth + columnGap);
const top = (box: Box): number => margin + box.row * (boxHeight + rowGap);
/** Names of one kind differ where they end. */
const shorten = (text: string): string =>
  text.length > shownLetters ? `${text.slice(0, shownLetters - 7)}…${text.slice(-6)}` : text;

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
