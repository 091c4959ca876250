/** Below the choice of a machine: those that this browser keeps, with what each takes, and what can be done to them. */
import { html, nothing, type TemplateResult } from 'lit';
import { ask } from '../ask.ts';
import { bytes } from '../format.ts';
import type { Kept, KeptMachine } from '../kept-machines.ts';
import { planFromKept, sourcesOf } from '../kept-plan.ts';
import type { MachinePlan } from '../session.ts';

export interface KeptActions {
  start(plan: MachinePlan): void;
  startAfresh(name: string): void;
  delete(name: string): void;
  export(name: string): void;
  import(archive: File): void;
  removeLeftovers(): void;
}

/** A machine that is on its way out of the browser or into it. */
export interface Transfer {
  readonly what: string;
  /** In bytes. */
  readonly done: number;
  readonly total: number;
}

export function keptView(
  { machines, leftovers, usage, quota }: Kept,
  transfer: Transfer | undefined,
  actions: KeptActions,
): TemplateResult {
  return html`
    <section class="panel kept" aria-labelledby="kept-title">
      <header>
        <h2 id="kept-title">Kept in this browser</h2>
        <span class="hint">${bytes(usage)} of ${bytes(quota)}</span>
        ${importView(transfer !== undefined, actions)}
      </header>
      ${transfer ? transferView(transfer) : nothing}
      ${
        machines.length === 0
          ? html`<p class="hint">No machines yet. One that is started is here afterwards, with its disks and backups, until you delete it.</p>`
          : html`<ol class="cards">${machines.map((machine) => cardView(machine, transfer !== undefined, actions))}</ol>`
      }
      ${leftovers.paths.length > 0 ? leftoversView(leftovers, actions) : nothing}
    </section>
  `;
}

function importView(isBusy: boolean, actions: KeptActions): TemplateResult {
  const take = ({ target }: Event): void => {
    const input = target as HTMLInputElement;
    const archive = input.files?.[0];
    // The same one may be chosen again.
    input.value = '';
    if (archive) actions.import(archive);
  };
  const choose = ({ target }: Event): void =>
    (target as HTMLElement).parentElement?.querySelector<HTMLInputElement>('input[type=file]')?.click();
  return html`<span class="fill">
    <input type="file" name="machine-archive" accept=".tar" hidden aria-label="Exported machine" @change=${take} />
    <button type="button" data-action="import" ?disabled=${isBusy} @click=${choose}>Import …</button>
  </span>`;
}

function transferView({ what, done, total }: Transfer): TemplateResult {
  return html`<div class="transfer" role="status">
    <span>${what}</span> <span class="hint">${bytes(done)} of ${bytes(total)}</span>
    <progress max=${Math.max(1, total)} value=${done} aria-label=${what}></progress>
  </div>`;
}

function cardView(machine: KeptMachine, isBusy: boolean, actions: KeptActions): TemplateResult {
  const { name, plan, backups, diskBytes, backupBytes, isOpen } = machine;
  const known = plan && planFromKept(name, plan);
  const facts = [
    `disks ${bytes(diskBytes)}`,
    backups === 0
      ? 'no backups'
      : `${backups === 1 ? '1 backup' : `${backups} backups`} ${bytes(backupBytes)}`,
    ...(plan ? [`${plan.memoryMiB} MiB of memory`] : []),
    ...(isOpen ? ['open in a tab'] : []),
  ];
  return html`
    <li class="card" data-machine=${name}>
      <p><b>${titleOf(machine)}</b></p>
      <p class="hint">${facts.join(' · ')}</p>
      ${known ? nothing : html`<p class="hint">${howToStart(machine)}</p>`}
      <span class="row">
        ${
          known
            ? html`<button type="button" data-action="start" ?disabled=${isOpen} aria-label="Start ${name}" @click=${() => actions.start(known)}>Start</button>`
            : nothing
        }
        <button type="button" data-action="afresh" ?disabled=${isOpen} aria-label="Start afresh: ${name}"
          @click=${() => askAfresh(machine, actions)}>Start afresh …</button>
        <button type="button" data-action="export" ?disabled=${isOpen || isBusy} aria-label="Export ${name}"
          @click=${() => actions.export(name)}>Export …</button>
        <button type="button" class="danger" data-action="delete" ?disabled=${isOpen} aria-label="Delete ${name}"
          @click=${() => askDelete(machine, actions)}>Delete …</button>
      </span>
    </li>
  `;
}

function titleOf({ name, plan }: KeptMachine): string {
  const [first] = plan ? sourcesOf(plan) : [];
  if (plan?.boot !== 'embedded') return first?.name ?? name;
  return first ? `The embedded guest on ${first.name}` : 'The embedded guest';
}

function howToStart({ plan }: KeptMachine): string {
  const files = plan ? sourcesOf(plan).filter(({ url }) => url === undefined) : [];
  return files.length === 0
    ? 'Choose above what it was started from, and it goes on.'
    : `Choose ${files.map(({ name }) => name).join(', ')} above again, and it goes on: no page can open a file of this computer by itself.`;
}

function askAfresh({ name, diskBytes, backups }: KeptMachine, actions: KeptActions): void {
  const text = `All that its guest has written is lost (${bytes(diskBytes)}), and the saved machines that its disks hold. It starts from its image again. ${
    backups === 0 ? 'There are no backups of it.' : 'Its backups stay.'
  }`;
  void ask({ title: `Start ${name} afresh?`, text, yes: 'Lose its disks' }).then((yes) => {
    if (yes) actions.startAfresh(name);
  });
}

function askDelete({ name, diskBytes, backups, backupBytes }: KeptMachine, actions: KeptActions): void {
  const lost = backups === 0 ? '' : ` and ${backups === 1 ? 'its backup' : `all ${backups} backups`}`;
  const text = `Its disks${lost}, ${bytes(diskBytes + backupBytes)}, are deleted from this browser. The image that it was started from stays where it is.`;
  void ask({ title: `Delete ${name}?`, text, yes: 'Delete' }).then((yes) => {
    if (yes) actions.delete(name);
  });
}

function leftoversView({ paths, bytes: size }: Kept['leftovers'], actions: KeptActions): TemplateResult {
  const files = paths.length === 1 ? '1 file' : `${paths.length} files`;
  const remove = (): void => {
    const text = html`<p>${files} of disks and backups, ${bytes(size)}, that no machine here uses:</p>
      <p class="mono">${paths.join(' ')}</p>`;
    void ask({ title: 'Remove what was left over?', text, yes: 'Remove' }).then((yes) => {
      if (yes) actions.removeLeftovers();
    });
  };
  return html`<p class="row leftovers">
    <span class="hint">An earlier version, or a browser that was closed, has left ${files}, ${bytes(size)}, that belong to no machine.</span>
    <button type="button" data-action="leftovers" @click=${remove}>Remove …</button>
  </p>`;
}
