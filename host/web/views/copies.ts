/** Copies of the disks: made while the machine runs, gone back to, taken away. */
import { html, type TemplateResult } from 'lit';
import type { Backup, Session } from '../session.ts';
import type { Perform } from './jobs.ts';

export function copiesView(session: Session, perform: Perform): TemplateResult {
  const { backups } = session;
  const name = `snapshot-${new Date().toISOString().slice(0, 19).replace(/[:T]/g, '-')}`;
  return html`
    <section class="panel" aria-labelledby="copies-title">
      <header>
        <h2 id="copies-title">Copies</h2>
        <span class="fill row">
          <button class="primary" type="button" data-action="backup"
            @click=${() => perform('Backup', () => session.backUp('full'))}>Back up both disks</button>
          <button type="button" data-action="incremental" ?disabled=${!session.canIncrement}
            @click=${() => perform('Incremental backup', () => session.backUp('incremental'))}>Incremental</button>
          <button type="button" data-action="snapshot"
            @click=${() => perform('Snapshot', () => session.snapshot(name))}>Snapshot</button>
        </span>
      </header>
      ${
        backups.length === 0
          ? html`<p class="hint">One transaction starts a backup of every disk at the same instant; the machine goes on meanwhile.</p>`
          : html`<table class="copies">
              <thead><tr><th>Backup</th><th>Made</th><td></td></tr></thead>
              <tbody>${backups.map((backup) => rowView(session, backup, perform))}</tbody>
            </table>`
      }
    </section>
  `;
}

function rowView(session: Session, backup: Backup, perform: Perform): TemplateResult {
  const { number, kind, madeAt, files } = backup;
  const canDelete = session.canDelete(backup);
  return html`
    <tr data-backup=${number}>
      <td><b>${number}</b> <span class="hint">${kind}</span></td>
      <td>${new Date(madeAt).toLocaleTimeString()}</td>
      <td><span class="row">
        <button type="button" data-action="restore" title="The machine begins anew on disks as they were then"
          @click=${() => perform(`Restore backup ${number}`, () => session.restore(backup))}>Restore</button>
        ${files.map(
          ({ disk }) => html`<button type="button" data-action="download" data-disk=${disk}
            @click=${() => perform('Download', () => session.download(backup, disk))}>Download ${disk}</button>`,
        )}
        <button type="button" class="danger" data-action="delete" ?disabled=${!canDelete} aria-label="Delete backup ${number}"
          title=${canDelete ? 'Delete' : 'Something builds on it'}
          @click=${() => perform(`Delete backup ${number}`, () => session.deleteBackup(backup))}>Delete</button>
      </span></td>
    </tr>
  `;
}
