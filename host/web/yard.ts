/**
 * Everything around a machine that runs. The page loads this, and with it terminal, charts and what starts machines, when one is to
 * start: who has yet to choose waits for none of it.
 */
import { html, render, type TemplateResult } from 'lit';
import { Model } from './model.ts';
import type { Session } from './session.ts';
import { element, tell, theme } from './shell.ts';
import { bitmapsView, paintBitmaps } from './views/bitmaps.ts';
import { ConsoleView } from './views/console.ts';
import { copiesView } from './views/copies.ts';
import { faultsView, switchOn } from './views/faults.ts';
import { GraphView } from './views/graph.ts';
import { limitsView } from './views/limits.ts';
import { MachineView } from './views/machine.ts';
import { PlotsView } from './views/plots.ts';
import { powerView } from './views/power.ts';
import { savedView } from './views/saved.ts';

export { startMachine } from './machine-session.ts';

export class Yard {
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
    beside.append(this.column('graph', 'bitmaps', 'limits'), this.column('saved', 'console'));
    yard.append(this.column('machine', 'copies', 'plots'), beside);
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
    // A reload would end what is under way: the browser asks.
    window.addEventListener('beforeunload', (event) => {
      if (session.busyWith !== undefined) event.preventDefault();
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
    render(copiesView(session, model, perform), this.part('copies'));
    render(savedView(session, model, perform), this.part('saved'));
    render(bitmapsView(model), this.part('bitmaps'));
    paintBitmaps(this.part('bitmaps'), model);
    render(limitsView(model, perform), this.part('limits'));
  }

  private barView() {
    const { model, session, perform } = this;
    const isRunning = model.status === 'running';
    const isOff = model.status === 'shutdown';
    const press = (): void => {
      if (isOff) perform('Start', () => switchOn(model));
      else perform(isRunning ? 'Stop' : 'Continue', () => model.monitor.qmp(isRunning ? 'stop' : 'cont'));
    };
    return html`
      ${stateView(model, session)}
      <button type="button" @click=${press}>${isOff ? 'Start' : isRunning ? 'Pause' : 'Continue'}</button>
      ${powerView(session, perform, () => this.powerOff())}
    `;
  }

  /** The page goes on to the choice of another machine. */
  private async powerOff(): Promise<void> {
    const { model, session } = this;
    // From here on nobody may be there to answer.
    model.close();
    try {
      await session.powerOff();
    } catch (error) {
      model.start();
      throw error;
    }
    location.reload();
  }
}

/** In the words of QMP, but for what a guest has done to the machine. */
function stateView({ status }: Model, { isHalted }: Session): TemplateResult {
  if (status === 'shutdown') return html`<span class="state off">off</span>`;
  if (status !== 'running' || !isHalted) return html`<span class="state ${status}">${status}</span>`;
  const why = 'The guest has stopped its processor for good: reset the machine, or power it off';
  return html`<span class="state halted" title=${why}>halted</span>`;
}
