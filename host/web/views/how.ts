/** How it works, in five sentences and one picture, for who has just come. */
import { html, svg, type TemplateResult } from 'lit';

export function howView(): TemplateResult {
  return html`
    <section class="panel how" aria-labelledby="how-title">
      <h2 id="how-title">How this works</h2>
      <svg viewBox="0 0 480 190" role="img" aria-label="A guest writes through a copy-before-write filter to an overlay over a read-only image; what it is about to overwrite goes into the backup first">
        <defs>
          <marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
            <path d="M 1 1 L 7 4 L 1 7"></path>
          </marker>
        </defs>
        <path d="M 92 40 H 118" marker-end="url(#arrow)"></path>
        <path d="M 244 40 H 270" marker-end="url(#arrow)"></path>
        <path d="M 376 40 H 400" marker-end="url(#arrow)"></path>
        <path class="old" d="M 183 66 V 126" marker-end="url(#arrow)"></path>
        <path class="old" d="M 325 66 V 156 H 248" marker-end="url(#arrow)"></path>
        ${boxView('guest', 6, 14, 86, 'Guest', 'writes on')}
        ${boxView('filter', 122, 14, 122, 'Filter', 'copy before write')}
        ${boxView('', 274, 14, 102, 'Overlay', 'in this browser')}
        ${boxView('', 404, 14, 72, 'Image', 'only read')}
        ${boxView('saved', 122, 130, 122, 'Backup', 'of one instant')}
        <text class="small" x="175" y="101" text-anchor="end">first, what is</text>
        <text class="small" x="175" y="115" text-anchor="end">overwritten</text>
        <text class="small" x="333" y="101">in the background,</text>
        <text class="small" x="333" y="115">all the rest</text>
      </svg>
      <ol>
        <li>The machine runs in this page, on a processor made of software: v86.</li>
        <li>Each of its disks is a qcow2 overlay in this browser’s storage, over an image that is only read, piece by piece and when it
          is needed.</li>
        <li>“Back up both disks” puts a filter over every disk at the same instant, by one transaction, while the guest goes on.</li>
        <li>What the guest is about to overwrite is copied into the backup first, and all the rest in the background.</li>
        <li>So a backup shows all disks as they were at that instant, and as bitmaps remember what changes from then on, the next one
          copies no more than that.</li>
      </ol>
    </section>
  `;
}

function boxView(
  kind: string,
  x: number,
  y: number,
  width: number,
  name: string,
  what: string,
): TemplateResult {
  return svg`
    <g class=${kind}>
      <rect x=${x} y=${y} width=${width} height="52" rx="7"></rect>
      <text x=${x + width / 2} y=${y + 23} text-anchor="middle">${name}</text>
      <text class="small" x=${x + width / 2} y=${y + 40} text-anchor="middle">${what}</text>
    </g>
  `;
}
