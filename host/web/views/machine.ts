/**
 * The machine's screen, which the machine draws, and its serial line, one of them at a time.
 *
 * Keys go to the guest while its screen or terminal has the focus, and at no other time: each has a text field that takes it (a phone
 * opens its keyboard for that). No way along the page with Tab leads into them, so nobody is caught there; a button and a click lead
 * in, and Escape twice, the same button and a click elsewhere lead out.
 */
import { FitAddon } from '@xterm/addon-fit';
import { Terminal } from '@xterm/xterm';
import { html, render } from 'lit';
import { releaseAll } from '../guest-keys.ts';
import { keepFitted } from '../screen-fit.ts';
import type { Session } from '../session.ts';
import { KeyBar } from './key-bar.ts';

type Tab = 'screen' | 'serial';
const tabs: readonly Tab[] = ['screen', 'serial'];

/** Two Escapes within that long lead out. */
const twiceMs = 500;

/** Browsers that have it give pages the Escape key in full screen. */
interface LockableKeyboard {
  lock(keys: readonly string[]): Promise<void>;
  unlock(): void;
}

export class MachineView {
  private readonly terminal = new Terminal({
    fontSize: 13,
    convertEol: false,
    scrollback: 2000,
    screenReaderMode: true,
  });
  private readonly fit = new FitAddon();
  private readonly keyBar: KeyBar;
  private shown: Tab;
  private hasKeys = false;
  private escapedAt = Number.NEGATIVE_INFINITY;

  /** `screen`: where v86 draws. */
  constructor(
    private readonly host: HTMLElement,
    private readonly session: Session,
    screen: HTMLElement,
    first: Tab,
  ) {
    host.innerHTML = `
      <section class="panel machine" aria-labelledby="machine-title">
        <header>
          <h2 id="machine-title">Machine</h2>
          <div class="tabs fill" role="tablist" aria-label="Screen or serial line">
            <button type="button" role="tab" id="tab-screen" aria-controls="pane-screen">Screen</button>
            <button type="button" role="tab" id="tab-serial" aria-controls="pane-serial">Serial</button>
          </div>
        </header>
        <div class="stage">
          <div class="display">
            <div class="pane" id="pane-screen" role="tabpanel" aria-labelledby="tab-screen">
              <textarea class="phone_keyboard" tabindex="-1" aria-label="Keys for the machine" autocomplete="off"
                autocapitalize="off" spellcheck="false"></textarea>
            </div>
            <div class="pane serial" id="pane-serial" role="tabpanel" aria-labelledby="tab-serial"></div>
            <div class="faults"></div>
          </div>
          <div class="keys"></div>
          <div class="key-bar-place"></div>
        </div>
      </section>`;
    this.shown = first;
    screen.className = 'screen';
    this.pane('screen').append(screen);
    keepFitted(this.pane('screen'), screen);
    this.terminal.loadAddon(this.fit);
    this.terminal.open(this.pane('serial'));
    this.terminal.textarea!.tabIndex = -1; // an open terminal has one
    this.keyBar = new KeyBar(this.part('.key-bar-place'), session, () => this.shown === 'screen');
    this.terminal.onData((text) => session.sendSerial(this.keyBar.typed(text)));
    session.onSerial((bytes) => this.terminal.write(bytes));
    this.listen();
    this.show(first);
  }

  /** Where what lies over both is drawn. */
  get faults(): HTMLElement {
    return this.part('.faults');
  }

  /** What is typed goes to the guest from now on. */
  enter(): void {
    this.fieldOf(this.shown).focus();
  }

  /** The button that leads in has the focus. */
  focusButton(): void {
    this.part('[data-action=keys]').focus();
  }

  private listen(): void {
    for (const tab of tabs) {
      const button = this.part(`#tab-${tab}`);
      button.addEventListener('click', ({ detail }) => {
        this.show(tab);
        // Pointed at, not pressed: who came by keyboard goes on along the page.
        if (detail > 0) this.enter();
      });
      button.addEventListener('keydown', (event) => this.onTabKey(event));
      const pane = this.pane(tab);
      pane.addEventListener('click', () => {
        // Who has marked text wants to copy it.
        if (getSelection()?.isCollapsed !== false) this.enter();
      });
      pane.addEventListener('focusin', () => this.setKeys(true));
      pane.addEventListener('focusout', () => this.setKeys(false));
      pane.addEventListener('keydown', (event) => this.onGuestKey(event), { capture: true });
    }
    const field = this.fieldOf('screen');
    // v86 has sent what a phone's keyboard has typed by then; a real one does not put it into the field.
    field.addEventListener('input', () => {
      field.value = '';
      this.keyBar.release();
    });
    field.addEventListener('keyup', () => this.keyBar.release());
    document.addEventListener('fullscreenchange', () => {
      // The browser has an Escape of its own, which the guest does not hear of.
      if (!document.fullscreenElement && this.hasKeys) this.focusButton();
      this.draw();
    });
    new ResizeObserver(() => this.refit()).observe(this.pane('serial'));
  }

  private part<Found extends HTMLElement>(selector: string): Found {
    return this.host.querySelector<Found>(selector)!; // made by the constructor, or drawn by it
  }

  private pane(tab: Tab): HTMLElement {
    return this.part(`#pane-${tab}`);
  }

  private fieldOf(tab: Tab): HTMLTextAreaElement {
    return tab === 'screen' ? this.part('.phone_keyboard') : this.terminal.textarea!; // an open terminal has one
  }

  private show(shown: Tab): void {
    this.keyBar.release();
    this.shown = shown;
    for (const tab of tabs) {
      this.pane(tab).style.visibility = tab === shown ? 'visible' : 'hidden';
      const button = this.part(`#tab-${tab}`);
      button.setAttribute('aria-selected', String(tab === shown));
      button.tabIndex = tab === shown ? 0 : -1;
    }
    this.refit();
    this.draw();
  }

  private onTabKey(event: KeyboardEvent): void {
    if (event.key !== 'ArrowLeft' && event.key !== 'ArrowRight') return;
    event.preventDefault();
    this.show(this.shown === 'screen' ? 'serial' : 'screen');
    this.part(`#tab-${this.shown}`).focus();
  }

  private setKeys(hasKeys: boolean): void {
    this.hasKeys = hasKeys;
    this.escapedAt = Number.NEGATIVE_INFINITY;
    if (!hasKeys) this.session.sendScancodes(releaseAll);
    this.session.setKeyboard(hasKeys && this.shown === 'screen');
    this.draw();
  }

  /** The first Escape is the guest's, the second one is not. */
  private onGuestKey(event: KeyboardEvent): void {
    if (event.key !== 'Escape' || event.repeat) {
      if (event.key !== 'Escape') this.escapedAt = Number.NEGATIVE_INFINITY;
      return;
    }
    if (event.timeStamp - this.escapedAt > twiceMs) {
      this.escapedAt = event.timeStamp;
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    this.leave();
  }

  private leave(): void {
    if (document.fullscreenElement) void document.exitFullscreen();
    this.focusButton();
  }

  private async toggleFullScreen(): Promise<void> {
    const { keyboard } = navigator as { keyboard?: LockableKeyboard };
    if (document.fullscreenElement) {
      keyboard?.unlock();
      await document.exitFullscreen();
      return;
    }
    await this.part('.stage').requestFullscreen();
    await keyboard?.lock(['Escape']);
    // Somebody may have left it by now.
    if (document.fullscreenElement) this.enter();
    else this.focusButton();
  }

  private draw(): void {
    const where = this.shown === 'screen' ? 'screen' : 'terminal';
    const keep = (event: Event): void => event.preventDefault();
    render(
      html`
        <span class="hint ${this.hasKeys ? 'on' : ''}" aria-live="polite">${
          this.hasKeys ? html`<kbd>Esc</kbd> <kbd>Esc</kbd> leads out` : 'Keys go to the page'
        }</span>
        <span class="row fill" @mousedown=${keep}>
          <button type="button" data-action="keys" @click=${() => (this.hasKeys ? this.leave() : this.enter())}>
            ${this.hasKeys ? 'Leave' : 'Type into'} the ${where}
          </button>
          <button type="button" class="optional" aria-pressed=${this.keyBar.shown} data-action="key-bar" @click=${() => {
            this.keyBar.toggle();
            this.draw();
          }}>Keys</button>
          ${
            document.fullscreenEnabled
              ? html`<button type="button" data-action="full-screen" @click=${() => void this.toggleFullScreen()}>
                ${document.fullscreenElement ? 'Leave full screen' : 'Full screen'}</button>`
              : undefined
          }
        </span>`,
      this.part('.keys'),
    );
  }

  private refit(): void {
    // A pane without a size has no room for a letter.
    if (this.pane('serial').clientWidth > 0) this.fit.fit();
  }
}
