/** The page: first the choice of a machine, then the yard around it. */
import { html, nothing, render } from 'lit';
import { fillIn, readLink } from './deep-link.ts';
import { putIntoForm, sortFiles } from './dropped-files.ts';
import { deleteMachine, type Kept, listKept, startAfresh } from './kept-machines.ts';
import { startMachine } from './machine-session.ts';
import { Model } from './model.ts';
import { removeFiles } from './own-files.ts';
import type { MachinePlan, Session } from './session.ts';
import { bitmapsView, paintBitmaps } from './views/bitmaps.ts';
import { type ChooserState, chooserView, noOffer, type Offer } from './views/chooser.ts';
import { ConsoleView } from './views/console.ts';
import { copiesView } from './views/copies.ts';
import { faultsView } from './views/faults.ts';
import { graphView } from './views/graph.ts';
import { jobsView } from './views/jobs.ts';
import { type KeptActions, keptView } from './views/kept.ts';
import { limitsView } from './views/limits.ts';
import { MachineView } from './views/machine.ts';
import { PlotsView } from './views/plots.ts';
import { powerView } from './views/power.ts';
import { savedView } from './views/saved.ts';

const messageMs = 7000;
const themeKey = 'blockyard-theme';

const element = (id: string): HTMLElement => document.getElementById(id)!; // index.html has them

class App {
  private readonly main = element('main');
  private chooser: ChooserState = { offer: noOffer, isStarting: false, problem: undefined };
  private kept: Kept | undefined;

  async start(): Promise<void> {
    this.drawChooser();
    void this.listKept();
    const answer = await fetch('offer.json');
    if (answer.ok) this.change({ offer: (await answer.json()) as Offer });
    this.followLink();
    window.addEventListener('hashchange', () => this.followLink());
    this.takeDrops();
  }

  private get form(): HTMLFormElement | null {
    return this.main.querySelector('form.chooser');
  }

  /** Without a form a machine runs: a link has to wait until it is off. */
  private followLink(): void {
    const { form } = this;
    if (!form) return;
    try {
      const link = readLink(location.hash, this.chooser.offer, location.href);
      if (link) fillIn(form, link);
      this.change({ problem: undefined });
    } catch (error) {
      this.change({ problem: (error as Error).message });
    }
  }

  private takeDrops(): void {
    window.addEventListener('dragover', (event) => {
      if (this.form) event.preventDefault();
    });
    window.addEventListener('drop', (event) => {
      const { form } = this;
      const files = [...(event.dataTransfer?.files ?? [])];
      if (!form || files.length === 0) return;
      event.preventDefault();
      sortFiles(files)
        .then((sorted) => putIntoForm(form, sorted))
        .catch((error: Error) => this.change({ problem: error.message }));
    });
  }

  private change(part: Partial<ChooserState>): void {
    this.chooser = { ...this.chooser, ...part };
    this.drawChooser();
  }

  private drawChooser(): void {
    if (this.main.dataset['view'] !== 'chooser') this.main.replaceChildren();
    this.main.dataset['view'] = 'chooser';
    render(
      html`${chooserView(this.chooser, (plan) => void this.startMachine(plan))}
      ${this.kept ? keptView(this.kept, this.keptActions) : nothing}`,
      this.main,
    );
  }

  /** A browser that keeps nothing says so when a machine is to start. */
  private async listKept(): Promise<void> {
    this.kept = await listKept().catch(() => undefined);
    if (this.main.dataset['view'] === 'chooser') this.drawChooser();
  }

  private readonly keptActions: KeptActions = {
    start: (plan) => void this.startMachine(() => plan),
    startAfresh: (name) => void this.keep(startAfresh(name)),
    delete: (name) => void this.keep(deleteMachine(name)),
    removeLeftovers: () => void this.keep(removeFiles(this.kept?.leftovers.paths ?? [])),
  };

  private async keep(change: Promise<void>): Promise<void> {
    await change.catch((error: Error) => tell(error.message, true));
    await this.listKept();
  }

  private async startMachine(choose: () => MachinePlan): Promise<void> {
    this.change({ isStarting: true, problem: undefined });
    try {
      const plan = choose();
      const screen = document.createElement('div');
      screen.innerHTML = '<div></div><canvas></canvas>';
      const session = await startMachine(plan, screen);
      this.change({ isStarting: false });
      new Yard(this.main, session).show(screen);
    } catch (error) {
      this.change({ isStarting: false, problem: (error as Error).message });
    }
  }
}

/** Everything around a machine that runs. */
class Yard {
  private readonly model: Model;
  private readonly parts = new Map<string, HTMLElement>();

  constructor(
    private readonly main: HTMLElement,
    private readonly session: Session,
  ) {
    this.model = new Model(session.monitor);
  }

  show(screen: HTMLElement): void {
    const { main, session, model } = this;
    main.dataset['view'] = 'yard';
    render(html``, main);
    const yard = document.createElement('div');
    yard.className = 'yard';
    for (const names of [
      ['machine', 'copies', 'saved', 'jobs', 'plots'],
      ['graph', 'bitmaps', 'limits', 'console'],
    ]) {
      const column = document.createElement('div');
      column.className = 'column';
      for (const name of names) {
        const part = document.createElement('div');
        this.parts.set(name, part);
        column.append(part);
      }
      yard.append(column);
    }
    main.replaceChildren(yard);
    const first = session.plan.boot === 'embedded' ? 'serial' : 'screen';
    const machine = new MachineView(this.part('machine'), session, screen, first);
    this.parts.set('faults', machine.faults);
    new ConsoleView(this.part('console'), session.monitor);
    const plots = new PlotsView(this.part('plots'), model);
    theme.onChange(() => {
      plots.redraw();
      this.draw();
    });
    model.subscribe(() => {
      this.draw();
      plots.update();
    });
    session.monitor.onEvent(({ event, data }) => {
      // One that stops the machine is told over its screen for as long as it stands.
      if (event === 'BLOCK_IO_ERROR' && data?.['action'] !== 'stop')
        tell(`${String(data?.['node-name'])}: ${String(data?.['reason'])}`, true);
      if (event === 'STOP' || event === 'RESUME') void model.refresh();
    });
    // A reload would end what is under way: the browser asks.
    window.addEventListener('beforeunload', (event) => {
      if (session.busyWith !== undefined) event.preventDefault();
    });
    this.draw();
    model.start();
  }

  private part(name: string): HTMLElement {
    return this.parts.get(name)!; // made by show
  }

  private readonly perform = (what: string, act: () => Promise<unknown>): void => {
    act()
      .then(() => this.model.refresh())
      .catch((error: Error) => tell(`${what}: ${error.message}`, true));
  };

  private draw(): void {
    const { model, session, perform } = this;
    render(this.barView(), element('machine-bar'));
    render(faultsView(model, perform), this.part('faults'));
    render(copiesView(session, model, perform), this.part('copies'));
    render(savedView(session, model, perform), this.part('saved'));
    render(jobsView(model, perform), this.part('jobs'));
    render(graphView(model), this.part('graph'));
    render(bitmapsView(model), this.part('bitmaps'));
    paintBitmaps(this.part('bitmaps'), model);
    render(limitsView(model, perform), this.part('limits'));
  }

  private barView() {
    const { model, session, perform } = this;
    const isRunning = model.status === 'running';
    return html`
      <span class="state ${model.status}">${model.status}</span>
      <button type="button" @click=${() =>
        perform(isRunning ? 'Stop' : 'Continue', () => model.monitor.qmp(isRunning ? 'stop' : 'cont'))}>
        ${isRunning ? 'Pause' : 'Continue'}
      </button>
      ${powerView(session, perform, () => location.reload())}
    `;
  }
}

/** Says something at the corner of the page for a while. */
function tell(text: string, isError: boolean): void {
  const line = document.createElement('p');
  line.textContent = text;
  if (isError) line.className = 'error';
  element('messages').append(line);
  setTimeout(() => line.remove(), messageMs);
}

const theme = {
  listeners: [] as (() => void)[],
  onChange(listener: () => void): void {
    this.listeners.push(listener);
  },
  start(): void {
    const { documentElement: root } = document;
    const kept = localStorage.getItem(themeKey);
    if (kept) root.dataset['theme'] = kept;
    element('theme').addEventListener('click', () => {
      const isDark = root.dataset['theme']
        ? root.dataset['theme'] === 'dark'
        : matchMedia('(prefers-color-scheme: dark)').matches;
      root.dataset['theme'] = isDark ? 'light' : 'dark';
      localStorage.setItem(themeKey, root.dataset['theme']);
      for (const listener of this.listeners) listener();
    });
  },
};

theme.start();
void new App().start();
