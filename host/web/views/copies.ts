/** Copies of the disks: made while the machine runs, by jobs that are shown meanwhile, gone back to, taken away. Each says what was proven of it. */
import { html, nothing, type TemplateResult } from 'lit';
import { ask } from '../ask.ts';
import { bytes, moment, seconds } from '../format.ts';
import type { Model } from '../model.ts';
import { backupWords, restoredWords, type Words } from '../proof-words.ts';
import type { Backup, Session } from '../session.ts';
import { backupSpeedView } from './backup-speed.ts';
import { jobsView, type Perform } from './jobs.ts';

export function copiesView(session: Session, model: Model, perform: Perform): TemplateResult {
  const { backups, whyNotIncremental, busyWith } = session;
  const isBusy = busyWith !== undefined;
  return html`
    <section class="panel" aria-labelledby="copies-title">
      <header>
        <h2 id="copies-title">Copies</h2>
        <span class="fill row">
          <button class="primary" type="button" data-action="backup" ?disabled=${isBusy}
            @click=${() => perform('Backup', () => session.backUp('full'))}>Back up both disks</button>
          <button type="button" data-action="incremental" ?disabled=${isBusy || whyNotIncremental !== undefined}
            aria-describedby="incremental-why"
            @click=${() => perform('Incremental backup', () => session.backUp('incremental'))}>Incremental</button>
        </span>
      </header>
      ${backupSpeedView(session, perform)}
      ${jobsView(model, perform, html`<p class="empty" id="incremental-why">${incrementalWords(session)}</p>`)}
      <div class="room copies-room">
        ${
          backups.length === 0
            ? html`<p class="empty">No backups yet. Each stands here with what was proven of it, to be gone back to or downloaded.</p>`
            : html`<ol class="cards">${backups.map((backup) => cardView(session, model, backup, perform)).reverse()}</ol>`
        }
      </div>
    </section>
  `;
}

function incrementalWords({ backups, whyNotIncremental }: Session): string {
  if (backups.length === 0)
    return 'One transaction starts a backup of every disk at the same instant; the machine goes on meanwhile.';
  return whyNotIncremental === undefined
    ? 'Incremental copies only what has changed since the last backup.'
    : `No incremental backup now. ${whyNotIncremental}`;
}

function wordsView({ text, isBad }: Words, name: string): TemplateResult {
  return html`<p class="proof ${isBad ? 'bad' : ''}" data-words=${name}>${text.charAt(0).toUpperCase() + text.slice(1)}</p>`;
}

function cardView(session: Session, model: Model, backup: Backup, perform: Perform): TemplateResult {
  const { number, kind, madeAt, files, bytes: size, tookMs } = backup;
  const { restored } = session;
  const canDelete = session.canDelete(backup) && session.busyWith === undefined;
  const facts = [
    kind,
    moment(new Date(madeAt), new Date()),
    ...(size === undefined || tookMs === undefined ? [] : [`${bytes(size)} in ${seconds(tookMs)}`]),
  ];
  return html`
    <li class="card" data-backup=${number} aria-label="Backup ${number}">
      <p><b>Backup ${number}</b> <span class="hint">${facts.join(' · ')}</span></p>
      ${wordsView(backupWords(backup), 'backup')}
      ${restored?.number === number ? wordsView(restoredWords(restored), 'restored') : nothing}
      <span class="row">
        <button type="button" data-action="restore" ?disabled=${session.busyWith !== undefined}
          aria-label="Restore backup ${number}" @click=${() => restore(session, model, backup, perform)}>Restore …</button>
        ${files.map(
          ({ disk }) => html`<button type="button" data-action="download" data-disk=${disk}
            aria-label="Download ${disk} of backup ${number}"
            @click=${() => perform('Download', () => session.download(backup, disk))}>Download ${disk}</button>`,
        )}
        <button type="button" class="danger" data-action="delete" ?disabled=${!canDelete} aria-label="Delete backup ${number}"
          title=${canDelete ? 'Delete' : 'Something builds on it'}
          @click=${() => remove(session, backup, perform)}>Delete …</button>
      </span>
    </li>
  `;
}

function restore(session: Session, model: Model, backup: Backup, perform: Perform): void {
  const { number, madeAt } = backup;
  const saved = model.saved.length;
  const changed = session.backups.at(-1) === backup && !session.whyNotIncremental ? changedBytes(model) : 0;
  const text = html`
    <p>The machine begins anew on disks as they were at ${moment(new Date(madeAt), new Date())}. What the guest has written
      since then is lost${changed > 0 ? ` (${bytes(changed)} of the disks have changed)` : ''}, and what is in its memory${
        saved > 0
          ? `, and ${saved === 1 ? 'the saved machine' : `${saved} saved machines`}, which these disks hold`
          : ''
      }.</p>
    <p>All backups stay, and so do the limits of the disks. To be able to come back to the present, make a backup first.</p>
  `;
  void ask({ title: `Restore backup ${number}?`, text, yes: 'Restore' }).then((yes) => {
    if (yes) perform(`Restore backup ${number}`, () => session.restore(backup));
  });
}

function changedBytes({ bitmaps }: Model): number {
  return bitmaps.reduce((total, { count }) => total + count, 0);
}

function remove(session: Session, backup: Backup, perform: Perform): void {
  const { number, madeAt, bytes: size } = backup;
  const what = size === undefined ? 'Its files are' : `Its files, ${bytes(size)}, are`;
  const text = `${what} deleted from this browser. The machine and other backups stay, but the next one has to be a full one. It was made at ${moment(new Date(madeAt), new Date())}.`;
  void ask({ title: `Delete backup ${number}?`, text, yes: 'Delete' }).then((yes) => {
    if (yes) perform(`Delete backup ${number}`, () => session.deleteBackup(backup));
  });
}
