/** How fast backups go: a slider that holds for one that runs, too. */
import { html, type TemplateResult } from 'lit';
import { rate } from '../format.ts';
import type { Session } from '../session.ts';
import type { Perform } from './jobs.ts';

/** Of a disk, in bytes per second; the last one is no limit. */
const stops = [1, 2, 4, 8, 16, 32, 64, 128, 256].map((mebibytes) => mebibytes << 20).concat(0);

export function backupSpeedView(session: Session, perform: Perform): TemplateResult {
  const { backupSpeed } = session;
  const words = backupSpeed === 0 ? 'unlimited' : rate(backupSpeed);
  return html`
    <div class="limits backup-speed">
      <label for="backup-speed">Speed of backups, by disk</label>
      <input id="backup-speed" type="range" min="0" max=${stops.length - 1} .value=${String(stops.indexOf(backupSpeed))}
        aria-valuetext=${words}
        @change=${(event: Event) => {
          const stop = stops[Number((event.target as HTMLInputElement).value)]!; // the slider goes over them
          perform('Speed of backups', () => session.setBackupSpeed(stop));
        }} />
      <output for="backup-speed">${words}</output>
    </div>
  `;
}
