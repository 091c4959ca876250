/** The machine's screen, which the machine draws, and its serial line, one of them at a time. */
import { FitAddon } from '@xterm/addon-fit';
import { Terminal } from '@xterm/xterm';
import type { Session } from '../session.ts';

type Tab = 'screen' | 'serial';

export class MachineView {
  private readonly terminal = new Terminal({ fontSize: 13, convertEol: false, scrollback: 2000 });
  private readonly fit = new FitAddon();

  constructor(
    private readonly host: HTMLElement,
    session: Session,
    screen: HTMLElement,
    first: Tab,
  ) {
    host.innerHTML = `
      <section class="panel" aria-labelledby="machine-title">
        <header>
          <h2 id="machine-title">Machine</h2>
          <div class="tabs fill" role="tablist" aria-label="Screen or serial line">
            <button type="button" role="tab" id="tab-screen" aria-controls="pane-screen">Screen</button>
            <button type="button" role="tab" id="tab-serial" aria-controls="pane-serial">Serial</button>
          </div>
        </header>
        <div class="display">
          <div class="serial" id="pane-serial" role="tabpanel" aria-labelledby="tab-serial"></div>
          <div class="faults"></div>
        </div>
      </section>`;
    screen.id = 'pane-screen';
    screen.className = 'screen';
    screen.setAttribute('role', 'tabpanel');
    screen.setAttribute('aria-labelledby', 'tab-screen');
    const pane = this.pane('serial');
    pane.before(screen);
    this.terminal.loadAddon(this.fit);
    this.terminal.open(pane);
    this.terminal.onData((text) => session.sendSerial(text));
    session.onSerial((bytes) => this.terminal.write(bytes));
    for (const tab of ['screen', 'serial'] as const) {
      this.tab(tab).addEventListener('click', () => this.show(tab));
      this.tab(tab).addEventListener('keydown', (event) => this.onKey(event));
    }
    new ResizeObserver(() => this.refit()).observe(pane);
    this.show(first);
  }

  /** Where what lies over both is drawn. */
  get faults(): HTMLElement {
    return this.host.querySelector('.faults')!; // made by the constructor
  }

  close(): void {
    this.terminal.dispose();
  }

  private pane(tab: Tab): HTMLElement {
    return this.host.querySelector(`#pane-${tab}`)!; // made by the constructor
  }

  private tab(tab: Tab): HTMLElement {
    return this.host.querySelector(`#tab-${tab}`)!; // made by the constructor
  }

  private show(shown: Tab): void {
    for (const tab of ['screen', 'serial'] as const) {
      this.pane(tab).style.visibility = tab === shown ? 'visible' : 'hidden';
      this.tab(tab).setAttribute('aria-selected', String(tab === shown));
      this.tab(tab).tabIndex = tab === shown ? 0 : -1;
    }
    this.refit();
    if (shown === 'serial') this.terminal.focus();
  }

  private onKey(event: KeyboardEvent): void {
    if (event.key !== 'ArrowLeft' && event.key !== 'ArrowRight') return;
    const other = this.tab('screen').getAttribute('aria-selected') === 'true' ? 'serial' : 'screen';
    this.show(other);
    this.tab(other).focus();
  }

  private refit(): void {
    // A pane without a size has no room for a letter.
    if (this.pane('serial').clientWidth > 0) this.fit.fit();
  }
}
