/**
 * A v86 screen whose machine is in another thread: this end is in the page.
 *
 * The container has a `div` for text and a `canvas`, as for a v86 in the page, and shows one of them: a line of text is a `div` with
 * a `span` for each run of characters that look the same, the cursor has the class `cursor`, what blinks the class `blink`.
 */
import type { ScreenUpdate, TextCursor, TextRun } from './protocol.ts';

/** Pictures no larger than this are shown in twice their size where there is room, in CSS pixels. */
const smallWidth = 640;

export class PageScreen {
  private readonly text: HTMLElement;
  private readonly canvas: HTMLCanvasElement;
  private readonly cursor: HTMLElement;
  private lines: (readonly TextRun[])[] = [];
  private cursorRow = -1;

  /** What `container` lacks of the two is made. Its canvas is replaced: what was drawn into one by another thread is never given back. */
  constructor(container: HTMLElement) {
    const { ownerDocument: page } = container;
    this.text = container.querySelector('div') ?? container.appendChild(page.createElement('div'));
    const given = container.querySelector('canvas');
    this.canvas = (given?.cloneNode() as HTMLCanvasElement | undefined) ?? page.createElement('canvas');
    if (given) given.replaceWith(this.canvas);
    else container.append(this.canvas);
    this.cursor = page.createElement('div');
    this.cursor.className = 'cursor blinking-cursor';
    Object.assign(this.cursor.style, { position: 'absolute', display: 'inline-block', width: '7px' });
    this.text.replaceChildren();
    this.show({ type: 'text-mode' });
  }

  /** For the other end, once. */
  takeCanvas(): OffscreenCanvas {
    return this.canvas.transferControlToOffscreen();
  }

  show(update: ScreenUpdate): void {
    if (update.type === 'text') {
      this.showText(update);
      return;
    }
    const isGraphics = update.type === 'graphics-mode';
    this.text.style.display = isGraphics ? 'none' : 'block';
    this.canvas.style.display = isGraphics ? 'block' : 'none';
    if (update.type === 'graphics-mode') this.fit(update.width, update.height);
  }

  private fit(width: number, height: number): void {
    const { innerWidth, innerHeight } = this.canvas.ownerDocument.defaultView!; // the page is shown
    const isSmall = width <= smallWidth && 2 * width < innerWidth && 2 * height < innerHeight;
    this.canvas.style.width = isSmall ? `${2 * width}px` : '';
    this.canvas.style.imageRendering = 'pixelated';
  }

  private showText({ rows, lines, cursor }: ScreenUpdate & { type: 'text' }): void {
    const { text } = this;
    while (text.children.length > rows) text.lastElementChild?.remove();
    while (text.children.length < rows) text.append(text.ownerDocument.createElement('div'));
    this.lines.length = rows;
    const changed = new Set([this.cursorRow, cursor.row]);
    for (const [row, runs] of lines) {
      this.lines[row] = runs;
      changed.add(row);
    }
    this.cursorRow = cursor.row;
    for (const row of changed) this.showLine(row, cursor);
  }

  private showLine(row: number, cursor: TextCursor): void {
    const runs = this.lines[row];
    if (!runs) return;
    const hasCursor = row === cursor.row && cursor.isVisible;
    const parts: HTMLElement[] = [];
    let column = 0;
    for (const run of runs) {
      // The cursor stands before its character, and parts what looks the same.
      const before = hasCursor ? cursor.column - column : -1;
      if (before >= 0 && before < run.text.length) {
        if (before > 0) parts.push(this.span(run, run.text.slice(0, before)));
        parts.push(this.placeCursor(cursor, run), this.span(run, run.text.slice(before)));
      } else parts.push(this.span(run, run.text));
      column += run.text.length;
    }
    this.text.children[row]?.replaceChildren(...parts);
  }

  private span({ background, foreground, blinks }: TextRun, text: string): HTMLElement {
    const span = this.text.ownerDocument.createElement('span');
    span.textContent = text;
    span.style.backgroundColor = colour(background);
    span.style.color = colour(foreground);
    if (blinks) span.className = 'blink';
    return span;
  }

  private placeCursor({ firstLine, lastLine }: TextCursor, { foreground }: TextRun): HTMLElement {
    const { style } = this.cursor;
    style.backgroundColor = colour(foreground);
    style.marginTop = `${firstLine}px`;
    style.height = `${lastLine - firstLine + 1}px`;
    return this.cursor;
  }
}

function colour(value: number): string {
  return `#${value.toString(16).padStart(6, '0')}`;
}
