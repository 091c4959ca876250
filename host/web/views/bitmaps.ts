/** Dirty bitmaps as heat maps: what an incremental backup would copy, by place on the disk. */
import { html, type TemplateResult } from 'lit';
import { bytes } from '../format.ts';
import type { BitmapRow, Model } from '../model.ts';

const columns = 64;

export function bitmapsView(model: Model): TemplateResult {
  const { bitmaps } = model;
  return html`
    <section class="panel" aria-labelledby="bitmaps-title">
      <header><h2 id="bitmaps-title">Dirty bitmaps</h2><span class="hint">changed since the last backup</span></header>
      <div class="bitmaps">${
        bitmaps.length === 0
          ? html`<p class="empty">None yet. “Back up both disks” adds one to each disk, and the next backup copies only what changed.</p>`
          : bitmaps.map(rowView)
      }</div>
    </section>
  `;
}

function rowView(row: BitmapRow): TemplateResult {
  const state = row.busy ? ', in use' : row.recording ? '' : ', disabled';
  return html`
    <div class="bitmap">
      <div class="row">
        <b class="mono">${row.title}</b>
        <span class="hint">${bytes(row.count)} of ${bytes(row.length)}, by ${bytes(row.granularity)}${state}</span>
      </div>
      <canvas data-bitmap=${row.title} width=${columns} height="8" role="img"
        aria-label="${row.title}: ${bytes(row.count)} dirty"></canvas>
    </div>
  `;
}

/** Fills the canvases that the view has put there. */
export function paintBitmaps(host: HTMLElement, model: Model): void {
  const [cold, hot] = [channels(host, '--raised'), channels(host, '--warm')];
  for (const canvas of host.querySelectorAll<HTMLCanvasElement>('canvas[data-bitmap]')) {
    const { map } = model.bitmaps.find(({ title }) => title === canvas.dataset['bitmap']) ?? {};
    const context = canvas.getContext('2d');
    if (!map || !context) continue;
    const rows = Math.max(1, Math.ceil(map.dirty.length / columns));
    if (canvas.height !== rows) canvas.height = rows;
    const image = context.createImageData(columns, rows);
    for (let i = 0; i < columns * rows; i++) {
      const share = Math.min(1, (map.dirty[i] ?? 0) / map.piece);
      // Little is to be seen too.
      const heat = share === 0 ? 0 : 0.3 + 0.7 * share;
      for (let c = 0; c < 3; c++) image.data[4 * i + c] = cold[c]! + heat * (hot[c]! - cold[c]!); // three components each
      image.data[4 * i + 3] = i < map.dirty.length ? 255 : 0;
    }
    context.putImageData(image, 0, 0);
  }
}

function channels(host: HTMLElement, name: string): number[] {
  const probe = document.createElement('span');
  probe.style.color = `var(${name})`;
  probe.style.setProperty('forced-color-adjust', 'none');
  host.append(probe);
  const found = getComputedStyle(probe).color.match(/\d+(\.\d+)?/g) ?? [];
  probe.remove();
  return [0, 1, 2].map((i) => Number(found[i] ?? 0));
}
