/**
 * A v86 screen whose page is in another thread: this end is where the machine is.
 *
 * v86 without a page has an adapter for its screen that keeps the text and shows nothing. Its members are extended: text that has
 * changed is told once a frame, graphics are drawn into a canvas of the page. Frames end while the machine stands, after one more, and
 * the browser asks for none while nobody sees the page. The look of text is a browser's: fonts that a guest loads are not shown, as
 * v86 does not show them in a page either unless it is asked to.
 */
import type { ScreenUpdate, TextCursor, TextRun } from './protocol.ts';

/** Part of a picture, and where it goes. */
interface Layer {
  readonly image_data: ImageData;
  readonly screen_x: number;
  readonly screen_y: number;
  readonly buffer_x: number;
  readonly buffer_y: number;
  readonly buffer_width: number;
  readonly buffer_height: number;
}

/** v86's own adapter, as far as it is extended here. */
interface Adapter {
  put_char(
    row: number,
    column: number,
    character: number,
    flags: number,
    background: number,
    foreground: number,
  ): void;
  set_size_text(columns: number, rows: number): void;
  get_text_row(row: number): string;
  set_mode(isGraphics: boolean): void;
  set_size_graphical(width: number, height: number): void;
  update_cursor(row: number, column: number): void;
  update_cursor_scanline(firstLine: number, lastLine: number, isVisible: boolean): void;
  update_buffer(layers: readonly Layer[]): void;
  clear_screen(): void;
  pause(): void;
  continue(): void;
  destroy(): void;
}

interface ShownEmulator {
  readonly screen_adapter?: Adapter;
  readonly v86?: { readonly cpu?: { readonly devices?: { readonly vga?: { screen_fill_buffer(): void } } } };
}

const blinking = 1;
/** Of a text mode that nobody has set. */
const [defaultColumns, defaultRows] = [80, 25];

interface ScreenOptions {
  /** Of the page, which shows what is drawn into it. */
  readonly canvas: OffscreenCanvas;
  tell(update: ScreenUpdate): void;
  /** Calls `draw` when the browser shows a picture again. */
  nextFrame(draw: () => void): void;
}

/** Shows the screen of an emulator that is ready and has not run yet. */
export function showScreen(emulator: object, options: ScreenOptions): void {
  const { screen_adapter: adapter, v86 } = emulator as ShownEmulator;
  if (!adapter) throw new Error('This v86 has no screen that can be shown in a page');
  new MachineScreen(adapter, options, () => v86?.cpu?.devices?.vga?.screen_fill_buffer()).extend();
}

class MachineScreen {
  private columns = 0;
  private rows = 0;
  /** Of each character: what it looks like, but for which it is. */
  private flags = new Uint8Array();
  private backgrounds = new Uint32Array();
  private foregrounds = new Uint32Array();
  private readonly changed = new Set<number>();
  private cursor: TextCursor = { row: 0, column: 0, firstLine: 14, lastLine: 15, isVisible: true };
  private cursorMoved = true;
  private isGraphics = false;
  private isRunning = false;
  private isAwaited = false;
  private readonly context: OffscreenCanvasRenderingContext2D;

  constructor(
    private readonly adapter: Adapter,
    private readonly options: ScreenOptions,
    /** Has v86 call `update_buffer` with what has changed. */
    private readonly fill: () => void,
  ) {
    this.context = options.canvas.getContext('2d', { alpha: false })!; // nobody has drawn anything else
    this.resizeText(defaultColumns, defaultRows);
  }

  extend(): void {
    const { adapter, context, options } = this;
    const { canvas } = options;
    const own = { ...adapter };
    Object.assign(adapter, {
      put_char: (row, column, character, flags, background, foreground) => {
        own.put_char.call(adapter, row, column, character, flags, background, foreground);
        const at = row * this.columns + column;
        this.flags[at] = flags;
        this.backgrounds[at] = background;
        this.foregrounds[at] = foreground;
        this.changed.add(row);
      },
      set_size_text: (columns, rows) => {
        own.set_size_text.call(adapter, columns, rows);
        if (columns !== this.columns || rows !== this.rows) this.resizeText(columns, rows);
      },
      set_mode: (isGraphics) => {
        this.isGraphics = isGraphics;
        if (!isGraphics) options.tell({ type: 'text-mode' });
      },
      set_size_graphical: (width, height) => {
        Object.assign(canvas, { width, height });
        options.tell({ type: 'graphics-mode', width, height });
      },
      update_cursor: (row, column) => this.moveCursor({ row, column }),
      update_cursor_scanline: (firstLine, lastLine, isVisible) =>
        this.moveCursor({ firstLine, lastLine, isVisible }),
      update_buffer: (layers) => {
        for (const layer of layers) {
          const { image_data: picture, buffer_x: x, buffer_y: y } = layer;
          const [left, top] = [layer.screen_x - x, layer.screen_y - y];
          context.putImageData(picture, left, top, x, y, layer.buffer_width, layer.buffer_height);
        }
      },
      clear_screen: () => {
        context.fillStyle = '#000';
        context.fillRect(0, 0, canvas.width, canvas.height);
      },
      pause: () => {
        this.isRunning = false;
      },
      continue: () => {
        this.isRunning = true;
        this.awaitFrame();
      },
      destroy: () => {
        this.isRunning = false;
      },
    } satisfies Partial<Adapter>);
    this.awaitFrame();
  }

  private resizeText(columns: number, rows: number): void {
    Object.assign(this, { columns, rows });
    this.flags = new Uint8Array(columns * rows);
    this.backgrounds = new Uint32Array(columns * rows);
    this.foregrounds = new Uint32Array(columns * rows);
    for (let row = 0; row < rows; row++) this.changed.add(row);
  }

  private moveCursor(to: Partial<TextCursor>): void {
    this.cursor = { ...this.cursor, ...to };
    this.cursorMoved = true;
  }

  private awaitFrame(): void {
    if (this.isAwaited) return;
    this.isAwaited = true;
    this.options.nextFrame(() => {
      this.isAwaited = false;
      // What has changed since the last frame of a machine that stands by now is seen, too.
      if (this.isGraphics) this.fill();
      else this.tellText();
      if (this.isRunning) this.awaitFrame();
    });
  }

  private tellText(): void {
    const { changed, columns, rows, cursor } = this;
    if (changed.size === 0 && !this.cursorMoved) return;
    const lines = [...changed].filter((row) => row < rows).map((row) => [row, this.runsOf(row)] as const);
    changed.clear();
    this.cursorMoved = false;
    this.options.tell({ type: 'text', columns, rows, lines, cursor });
  }

  private runsOf(row: number): readonly TextRun[] {
    const text = this.adapter.get_text_row(row);
    const first = row * this.columns;
    const runs: TextRun[] = [];
    for (let start = 0, end = 0; start < this.columns; start = end) {
      while (end < this.columns && this.looksSame(first + start, first + end)) end++;
      runs.push({
        text: text.slice(start, end),
        background: this.backgrounds[first + start]!, // one of each for every character
        foreground: this.foregrounds[first + start]!,
        blinks: (this.flags[first + start]! & blinking) !== 0,
      });
    }
    return runs;
  }

  private looksSame(one: number, other: number): boolean {
    return (
      this.backgrounds[one] === this.backgrounds[other] &&
      this.foregrounds[one] === this.foregrounds[other] &&
      (this.flags[one]! & blinking) === (this.flags[other]! & blinking) // within the text
    );
  }
}
