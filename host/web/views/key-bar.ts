/**
 * Keys to tap or click, for who has no keyboard that has them. They go where typing goes, to the screen's keyboard or down the serial
 * line, and leave the focus where it is, so that a phone's own keyboard stays open.
 */
import { html, render, type TemplateResult } from 'lit';
import {
  barKeys,
  type Key,
  type Modifier,
  pressModifier,
  releaseModifier,
  stroke,
  withModifiers,
} from '../guest-keys.ts';
import type { Session } from '../session.ts';

const modifiers = [
  { modifier: 'ctrl', label: 'Ctrl' },
  { modifier: 'alt', label: 'Alt' },
] as const;

export class KeyBar {
  private readonly held = new Set<Modifier>();
  private isShown = matchMedia('(pointer: coarse)').matches;

  /** `goesToScreen`: whether keys go to the screen at the moment, or down the serial line. */
  constructor(
    private readonly host: HTMLElement,
    private readonly session: Session,
    private readonly goesToScreen: () => boolean,
  ) {
    this.draw();
  }

  get shown(): boolean {
    return this.isShown;
  }

  toggle(): void {
    this.isShown = !this.isShown;
    this.release();
  }

  /** What somebody has typed for the serial line, with the modifiers that waited for it. */
  typed(text: string): string {
    const sent = withModifiers(text, this.held);
    this.release();
    return sent;
  }

  /** The key that the modifiers have waited for is over, or never comes. */
  release(): void {
    for (const modifier of this.held) this.session.sendScancodes(releaseModifier(modifier));
    this.held.clear();
    this.draw();
  }

  private press(key: Key): void {
    if (!this.goesToScreen()) {
      this.session.sendSerial(this.typed(key.characters));
      return;
    }
    this.session.sendScancodes(stroke(key));
    this.release();
  }

  private hold(modifier: Modifier): void {
    const isHeld = this.held.delete(modifier);
    if (!isHeld) this.held.add(modifier);
    if (this.goesToScreen()) {
      this.session.sendScancodes(isHeld ? releaseModifier(modifier) : pressModifier(modifier));
    }
    this.draw();
  }

  private draw(): void {
    this.host.hidden = !this.isShown;
    render(this.view(), this.host);
  }

  private view(): TemplateResult {
    const [first, ...others] = barKeys;
    return html`
      <div class="key-bar" role="group" aria-label="Keys for the machine" @mousedown=${(event: Event) => event.preventDefault()}>
        ${this.keyView(first!)}
        ${modifiers.map(
          ({ modifier, label }) => html`<button type="button" aria-pressed=${this.held.has(modifier)}
            @click=${() => this.hold(modifier)}>${label}</button>`,
        )}
        ${others.map((key) => this.keyView(key))}
      </div>
    `;
  }

  private keyView(key: Key): TemplateResult {
    return html`<button type="button" aria-label=${key.title} @click=${() => this.press(key)}>${key.label}</button>`;
  }
}
