/** How fast backups go: a slider that holds for one that runs, too. */
import { html, type TemplateResult } from 'lit';
import type { Session } from '../session.ts';
import type { Perform } from './jobs.ts';
import { byteStops, slider } from './slider.ts';

export function backupSpeedView(session: Session, perform: Perform): TemplateResult {
  return html`
    <div class="limits backup-speed">${slider({
      id: 'backup-speed',
      label: 'Speed of backups, by disk',
      stops: byteStops,
      value: session.backupSpeed,
      change: (speed) => perform('Speed of backups', () => session.setBackupSpeed(speed)),
    })}</div>
  `;
}
