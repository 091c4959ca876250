/** The monitor by hand: lines with completion from its schema, answers, and the events between them. */
import { html, nothing, render, type TemplateResult } from 'lit';
import type { Monitor, MonitorEvent } from '../answers.ts';
import { asLines, help, infoNames, queryOf } from '../console-commands.ts';
import { Completer, type Completion, parseLine } from '../console-completion.ts';
import { recall, remember } from '../remembered.ts';

interface Entry {
  readonly kind: 'sent' | 'answer' | 'failed' | 'event';
  readonly text: string;
}

const keptEntries = 300;
const keptLines = 100;
const historyKey = 'blockyard-console';

export class ConsoleView {
  private readonly entries: Entry[] = [];
  private readonly history = JSON.parse(recall(historyKey) ?? '[]') as string[];
  private at = this.history.length;
  private completer: Completer | undefined;
  private completions: readonly Completion[] = [];
  /** Counts what was offered or asked for: only the latest counts. */
  private offers = 0;
  private chosen = -1;
  private showsEvents = true;

  constructor(
    private readonly host: HTMLElement,
    private readonly monitor: Monitor,
  ) {
    monitor.onEvent((event) => this.note({ kind: 'event', text: eventText(event) }));
    this.draw();
  }

  private async loadCompleter(): Promise<Completer> {
    this.completer ??= new Completer((await this.monitor.qmp('query-qmp-schema')) as unknown[]);
    return this.completer;
  }

  private note(entry: Entry): void {
    this.entries.push(entry);
    this.entries.splice(0, this.entries.length - keptEntries);
    this.draw();
  }

  private get input(): HTMLInputElement {
    return this.host.querySelector('input[name=line]')!; // drawn in the constructor
  }

  private async run(line: string): Promise<void> {
    this.note({ kind: 'sent', text: line });
    this.remember(line);
    try {
      this.note({ kind: 'answer', text: await this.answerTo(line) });
    } catch (error) {
      this.note({ kind: 'failed', text: (error as Error).message });
    }
  }

  private async answerTo(line: string): Promise<string> {
    const [word, about] = line.split(/\s+/);
    if (word === 'help' || word === 'info') {
      const completer = await this.loadCompleter();
      if (word === 'help') return help(completer, about);
      if (about === undefined) return infoNames(completer.commands).join('\n');
      return asLines(await this.monitor.qmp(queryOf(about)));
    }
    const { command, args } = parseLine(line);
    return JSON.stringify(await this.monitor.qmp(command, args), undefined, 2);
  }

  /** Also for the next visit. What is the same as the line before it is one. */
  private remember(line: string): void {
    if (this.history.at(-1) !== line) this.history.push(line);
    this.history.splice(0, this.history.length - keptLines);
    this.at = this.history.length;
    remember(historyKey, JSON.stringify(this.history));
  }

  private onSubmit(event: Event): void {
    event.preventDefault();
    const line = this.input.value.trim();
    if (line === '') return;
    this.input.value = '';
    this.offer([]);
    void this.run(line);
  }

  private async onInput(): Promise<void> {
    const asked = ++this.offers;
    const completer = await this.loadCompleter();
    // Meanwhile somebody may have typed on, sent the line, or wanted no completions.
    if (asked === this.offers) this.offer(completer.complete(this.input.value));
  }

  private offer(completions: readonly Completion[]): void {
    this.offers++;
    this.completions = completions;
    this.chosen = completions.length > 0 ? 0 : -1;
    this.draw();
  }

  private onKey(event: KeyboardEvent): void {
    const count = this.completions.length;
    switch (event.key) {
      case 'Tab':
        if (count === 0 || this.input.value === '') return;
        this.take(this.completions[this.chosen]!); // there are some
        break;
      case 'ArrowDown':
      case 'ArrowUp': {
        const step = event.key === 'ArrowDown' ? 1 : -1;
        if (count > 0) this.chosen = (this.chosen + step + count) % count;
        else this.recall(step);
        this.draw();
        break;
      }
      case 'Escape':
        this.offer([]);
        break;
      default:
        return;
    }
    event.preventDefault();
  }

  private recall(step: number): void {
    this.at = Math.min(this.history.length, Math.max(0, this.at + step));
    this.input.value = this.history[this.at] ?? '';
  }

  private take({ text }: Completion): void {
    const isArgument = text.endsWith('=');
    this.input.value = this.input.value.replace(/\S*$/, () => (isArgument ? text : `${text} `));
    this.input.focus();
    void this.onInput();
  }

  private draw(): void {
    const log = this.host.querySelector('.log');
    const follows = !log || log.scrollHeight - log.scrollTop - log.clientHeight < 30;
    render(this.view(), this.host);
    const drawn = this.host.querySelector('.log')!; // just drawn
    if (follows) drawn.scrollTop = drawn.scrollHeight;
    this.host.querySelector('[aria-selected=true]')?.scrollIntoView({ block: 'nearest' });
  }

  private view(): TemplateResult {
    const shown = this.entries.filter(({ kind }) => this.showsEvents || kind !== 'event');
    return html`
      <section class="panel" aria-labelledby="console-title">
        <header>
          <h2 id="console-title">Monitor</h2>
          <span class="hint">QMP, <code>help</code> and <code>info</code></span>
          <label class="row hint fill">
            <input type="checkbox" .checked=${this.showsEvents} @change=${() => {
              this.showsEvents = !this.showsEvents;
              this.draw();
            }} /> events
          </label>
        </header>
        <div class="console">
          <div class="log" role="log" tabindex="0" aria-label="Answers and events">${shown.map(
            ({ kind, text }) => html`<div class=${kind}>${kind === 'sent' ? `→ ${text}` : text}</div>`,
          )}</div>
          <form @submit=${(event: Event) => this.onSubmit(event)}>
            ${this.listView()}
            <input type="text" name="line" autocomplete="off" autocapitalize="off" spellcheck="false"
              placeholder="query-block" aria-label="Command" role="combobox" aria-autocomplete="list" aria-controls="completions"
              aria-expanded=${this.completions.length > 0}
              @input=${() => void this.onInput()} @keydown=${(event: KeyboardEvent) => this.onKey(event)} @blur=${() => this.offer([])} />
            <button type="submit">Send</button>
          </form>
        </div>
      </section>
    `;
  }

  private listView(): TemplateResult | typeof nothing {
    if (this.completions.length === 0) return nothing;
    return html`<ul class="completions" id="completions" role="listbox">${this.completions.map(
      (one, i) =>
        html`<li role="option" aria-selected=${i === this.chosen} @pointerdown=${(event: Event) => {
          event.preventDefault();
          this.take(one);
        }}><span>${one.text}</span><small>${one.hint}</small></li>`,
    )}</ul>`;
  }
}

function eventText({ event, data, timestamp }: MonitorEvent): string {
  const when = timestamp ? new Date(timestamp.seconds * 1000).toTimeString().slice(0, 8) : '';
  return `${when} ${event} ${data ? JSON.stringify(data) : ''}`.trim();
}
