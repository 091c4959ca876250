/** Machines that are kept inside their disks, memory and all: saved, gone back to, deleted. */
import { html, type TemplateResult } from 'lit';
import { ask } from '../ask.ts';
import { bytes, moment } from '../format.ts';
import type { Model, SavedRow } from '../model.ts';
import type { Session } from '../session.ts';
import type { Perform } from './jobs.ts';

export function savedView(session: Session, model: Model, perform: Perform): TemplateResult {
  const { saved } = model;
  const isBusy = session.busyWith !== undefined;
  return html`
    <section class="panel" aria-labelledby="saved-title">
      <header>
        <h2 id="saved-title">Saved machines</h2>
        <form class="fill row" @submit=${(event: SubmitEvent) => save(event, session, model, perform)}>
          <input type="text" name="name" aria-label="Name for the saved machine" placeholder=${freeName(saved)} maxlength="60" size="12" />
          <button type="submit" data-action="save" ?disabled=${isBusy}>Save machine</button>
        </form>
      </header>
      <div class="room">
      ${
        saved.length === 0
          ? html`<p class="empty">A snapshot of each disk and of memory and devices, kept inside the disks: go back to it at any time,
              after a reload, too.</p>`
          : html`<ol class="cards">${saved.map((one) => rowView(one, session, perform))}</ol>`
      }
      </div>
    </section>
  `;
}

/** What a name is given for that nobody has typed. */
function freeName(saved: readonly SavedRow[]): string {
  let number = saved.length + 1;
  while (saved.some(({ name }) => name === `machine-${number}`)) number++;
  return `machine-${number}`;
}

function save(event: SubmitEvent, session: Session, { saved }: Model, perform: Perform): void {
  event.preventDefault();
  const form = event.target as HTMLFormElement;
  const typed = String(new FormData(form).get('name') ?? '').trim();
  const name = typed === '' ? freeName(saved) : typed;
  const act = (): void => {
    form.reset();
    perform('Save machine', () => session.saveMachine(name));
  };
  if (!saved.some((one) => one.name === name)) {
    act();
    return;
  }
  const text = 'There is a saved machine of this name. It is lost, and the present one takes its place.';
  void ask({ title: `Replace “${name}”?`, text, yes: 'Replace' }).then((yes) => {
    if (yes) act();
  });
}

function rowView(one: SavedRow, session: Session, perform: Perform): TemplateResult {
  const { name, savedAt, stateBytes } = one;
  const isBusy = session.busyWith !== undefined;
  const kind =
    stateBytes > 0 ? `${bytes(stateBytes)} of memory and devices` : 'disks only: it can be read, not run';
  return html`
    <li class="card" data-saved=${name}>
      <p><b>${name}</b> <span class="hint">${moment(savedAt, new Date())} · ${kind}</span></p>
      <span class="row">
        <button type="button" data-action="load" ?disabled=${isBusy || stateBytes === 0} aria-label="Go back to ${name}"
          @click=${() => load(one, session, perform)}>Go back …</button>
        <button type="button" class="danger" data-action="delete" ?disabled=${isBusy} aria-label="Delete ${name}"
          @click=${() => remove(one, session, perform)}>Delete …</button>
      </span>
    </li>
  `;
}

function load({ name, savedAt }: SavedRow, session: Session, perform: Perform): void {
  const text = `Disks and memory are as they were at ${moment(savedAt, new Date())}. What the guest has done since then is lost; backups stay, and the next one has to be a full one.`;
  void ask({ title: `Go back to “${name}”?`, text, yes: 'Go back' }).then((yes) => {
    if (yes) perform(`Go back to ${name}`, () => session.loadMachine(name));
  });
}

function remove({ name }: SavedRow, session: Session, perform: Perform): void {
  const text = 'Nobody can go back to it any more. The machine that runs stays as it is.';
  void ask({ title: `Delete “${name}”?`, text, yes: 'Delete' }).then((yes) => {
    if (yes) perform(`Delete ${name}`, () => session.deleteSaved(name));
  });
}
