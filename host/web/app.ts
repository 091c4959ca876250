/** The page: first the choice of a machine, then the yard around it. */
import { html, render } from 'lit';
import { startMachine } from './machine-session.ts';
import { Model } from './model.ts';
import type { MachinePlan, Session } from './session.ts';
import { bitmapsView, paintBitmaps } from './views/bitmaps.ts';
import { type ChooserState, chooserView, noOffer, type Offer } from './views/chooser.ts';
import { ConsoleView } from './views/console.ts';
import { copiesView } from './views/copies.ts';
import { faultsView } from './views/faults.ts';
import { GraphView } from './views/graph.ts';
import { howView } from './views/how.ts';
import { jobsView } from './views/jobs.ts';
import { limitsView } from './views/limits.ts';
import { MachineView } from './views/machine.ts';
import { PlotsView } from './views/plots.ts';

const messageMs = 7000;
const themeKey = 'blockyard-theme';

const element = (id: string): HTMLElement => document.getElementById(id)!; // index.html has them

class App {
  private readonly main = element('main');
  private chooser: ChooserState = { offer: noOffer, isStarting: false, problem: undefined };

  async start(): Promise<void> {
    // Drawn once there is everything to choose from: what came later would push the rest away.
    const answer = await fetch('offer.json').catch(() => undefined);
    this.change(answer?.ok ? { offer: (await answer.json()) as Offer } : {});
  }

  private change(part: Partial<ChooserState>): void {
    this.chooser = { ...this.chooser, ...part };
    this.drawChooser();
  }

  private drawChooser(): void {
    if (this.main.dataset['view'] !== 'chooser') this.main.replaceChildren();
    this.main.dataset['view'] = 'chooser';
    render(html`${chooserView(this.chooser, (plan) => void this.startMachine(plan))}${howView()}`, this.main);
  }

  private async startMachine(choose: () => MachinePlan): Promise<void> {
    const isPointed = !document.activeElement?.matches(':focus-visible');
    this.change({ isStarting: true, problem: undefined });
    try {
      const plan = choose();
      const screen = document.createElement('div');
      screen.innerHTML = '<div></div><canvas></canvas>';
      const session = await startMachine(plan, screen);
      this.change({ isStarting: false });
      new Yard(this.main, session).show(screen, isPointed);
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

  /** `isPointed`: whoever started it did so with a pointer, and may go on typing into it. */
  show(screen: HTMLElement, isPointed: boolean): void {
    const { main, session, model } = this;
    main.dataset['view'] = 'yard';
    render(html``, main);
    const yard = document.createElement('div');
    yard.className = 'yard';
    const beside = document.createElement('div');
    beside.className = 'beside';
    beside.append(this.column('graph', 'bitmaps'), this.column('limits', 'console'));
    yard.append(this.column('machine', 'copies', 'jobs', 'plots'), beside);
    main.replaceChildren(yard);
    const first = session.plan.boot === 'embedded' ? 'serial' : 'screen';
    const machine = new MachineView(this.part('machine'), session, screen, first);
    this.parts.set('faults', machine.faults);
    if (isPointed) machine.enter();
    else machine.focusButton();
    const graph = new GraphView(this.part('graph'), model);
    new ConsoleView(this.part('console'), session.monitor);
    const plots = new PlotsView(this.part('plots'), model);
    theme.onChange(() => {
      plots.redraw();
      this.draw();
    });
    model.subscribe(() => {
      this.draw();
      graph.draw();
      plots.update();
    });
    session.monitor.onEvent(({ event, data }) => {
      // One that stops the machine is told over its screen for as long as it stands.
      if (event === 'BLOCK_IO_ERROR' && data?.['action'] !== 'stop')
        tell(`${String(data?.['node-name'])}: ${String(data?.['reason'])}`, true);
      if (event === 'STOP' || event === 'RESUME') void model.refresh();
    });
    this.draw();
    model.start();
  }

  private column(...names: string[]): HTMLElement {
    const column = document.createElement('div');
    column.className = 'column';
    for (const name of names) {
      const part = document.createElement('div');
      this.parts.set(name, part);
      column.append(part);
    }
    return column;
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
    render(copiesView(session, perform), this.part('copies'));
    render(jobsView(model, perform), this.part('jobs'));
    render(bitmapsView(model), this.part('bitmaps'));
    paintBitmaps(this.part('bitmaps'), model);
    render(limitsView(model, perform), this.part('limits'));
  }

  private barView() {
    const { model, perform } = this;
    const isRunning = model.status === 'running';
    return html`
      <span class="state ${model.status}">${model.status}</span>
      <button type="button" @click=${() =>
        perform(isRunning ? 'Stop' : 'Continue', () => model.monitor.qmp(isRunning ? 'stop' : 'cont'))}>
        ${isRunning ? 'Pause' : 'Continue'}
      </button>
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

/** For when there is no network. Not every browser, window and address can have that. */
function keepForOffline(): void {
  addEventListener('load', () => {
    navigator.serviceWorker
      ?.register('service-worker.js')
      .catch((error: Error) => console.info(`The page is not kept for offline: ${error.message}`));
  });
}

theme.start();
keepForOffline();
void new App().start();
