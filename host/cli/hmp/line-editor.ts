/**
 * A line as it is typed into the human monitor: bytes in, what the screen is to show out (specification: qmp-protocol, section 8). It
 * has no input and no output of its own, and is the same for a terminal, a pipe and a socket: QEMU's echoes to all of them, and
 * knows these keys: arrows, Home, End (Ctrl-A, Ctrl-E), Delete (Ctrl-D), Backspace, Ctrl-U, Ctrl-W, Ctrl-L, Tab, and Enter.
 *
 * A line is bytes, one character of a string each: what they mean is for whoever runs it. What is shown of it is drawn anew after each
 * byte that changes it: back to its beginning, all of it, and the rest of the row erased.
 */

/** What a byte has led to beside what is shown. */
type EditorAction = { readonly type: 'run'; readonly line: string } | { readonly type: 'complete' };

interface Edited {
  /** To be shown. */
  readonly output: string;
  readonly action?: EditorAction;
}

/** What the bytes of a key that sends several are waited for. */
type KeyState = 'plain' | 'escape' | 'csi' | 'ss3';

const esc = '\x1b';
const eraseRest = `${esc}[K`;
const clearScreen = `${esc}[2J${esc}[1;1H`;
const maxLineBytes = 4095;
const maxHistory = 64;

const left = (count: number): string => `${esc}[D`.repeat(count);
const right = (count: number): string => `${esc}[C`.repeat(count);

export class LineEditor {
  private line = '';
  private cursor = 0;
  private shown = { line: '', cursor: 0 };
  private state: KeyState = 'plain';
  private parameter = 0;
  private readonly history: string[] = [];
  /** Which of the history is on the line; its length: none. */
  private recalled = 0;

  constructor(private readonly prompt: string) {}

  /** What stands before the cursor. */
  get beforeCursor(): string {
    return this.line.slice(0, this.cursor);
  }

  /** The lines before, oldest first. */
  get entered(): readonly string[] {
    return this.history;
  }

  /** A new line. Gives what is to be shown. */
  begin(): string {
    this.line = '';
    this.cursor = 0;
    this.state = 'plain';
    return this.showAnew();
  }

  take(byte: number): Edited {
    switch (this.state) {
      case 'plain':
        return this.takePlain(byte);
      case 'escape':
        this.state = 'plain';
        if (byte === 0x5b) {
          this.state = 'csi';
          this.parameter = 0;
        } else if (byte === 0x4f) this.state = 'ss3';
        return { output: '' };
      case 'csi':
        this.takeCsi(byte);
        return { output: this.flush() };
      case 'ss3':
        this.state = 'plain';
        if (byte === 0x48) this.cursor = 0;
        if (byte === 0x46) this.cursor = this.line.length;
        return { output: this.flush() };
    }
  }

  /** Puts `text` in at the cursor. Gives what is to be shown. */
  insert(text: string): string {
    this.put(text);
    return this.flush();
  }

  /** Shows `rows` below the line, and the line again below them, with `text` put in. */
  list(rows: readonly string[], text: string): string {
    this.put(text);
    return `\r\n${rows.map((row) => `${row}\r\n`).join('')}${this.showAnew()}`;
  }

  private takePlain(byte: number): Edited {
    switch (byte) {
      case 0x01: // Ctrl-A
        this.cursor = 0;
        break;
      case 0x04: // Ctrl-D
        this.deleteAt(this.cursor);
        break;
      case 0x05: // Ctrl-E
        this.cursor = this.line.length;
        break;
      case 0x08:
      case 0x7f:
        if (this.cursor > 0) this.deleteAt(--this.cursor);
        break;
      case 0x09:
        return { output: '', action: { type: 'complete' } };
      case 0x0a:
      case 0x0d:
        return this.enter();
      case 0x0c: // Ctrl-L
        return { output: clearScreen + this.showAnew() };
      case 0x15: // Ctrl-U
        this.line = this.line.slice(this.cursor);
        this.cursor = 0;
        break;
      case 0x17: // Ctrl-W
        this.deleteWord();
        break;
      case 0x1b:
        this.state = 'escape';
        break;
      default:
        if (byte >= 0x20) this.put(String.fromCharCode(byte));
    }
    return { output: this.flush() };
  }

  private takeCsi(byte: number): void {
    if (byte >= 0x30 && byte <= 0x39) {
      this.parameter = this.parameter * 10 + byte - 0x30;
      return;
    }
    this.state = 'plain';
    switch (String.fromCharCode(byte)) {
      case 'A':
        this.recall(this.recalled - 1);
        break;
      case 'B':
        this.recall(this.recalled + 1);
        break;
      case 'C':
        this.cursor = Math.min(this.cursor + 1, this.line.length);
        break;
      case 'D':
        this.cursor = Math.max(this.cursor - 1, 0);
        break;
      case '~':
        if (this.parameter === 1) this.cursor = 0;
        if (this.parameter === 3) this.deleteAt(this.cursor);
        if (this.parameter === 4) this.cursor = this.line.length;
    }
  }

  private enter(): Edited {
    const { line } = this;
    if (line !== '') {
      const before = this.history.indexOf(line);
      if (before >= 0) this.history.splice(before, 1);
      else if (this.history.length === maxHistory) this.history.shift();
      this.history.push(line);
    }
    this.recalled = this.history.length;
    this.line = '';
    this.cursor = 0;
    this.shown = { line: '', cursor: 0 };
    return { output: '\r\n', action: { type: 'run', line } };
  }

  private recall(which: number): void {
    if (which < 0 || which > this.history.length) return;
    this.recalled = which;
    this.line = this.history[which] ?? '';
    this.cursor = this.line.length;
  }

  private put(text: string): void {
    if (this.line.length + text.length > maxLineBytes) return;
    this.line = this.line.slice(0, this.cursor) + text + this.line.slice(this.cursor);
    this.cursor += text.length;
  }

  private deleteAt(at: number): void {
    this.line = this.line.slice(0, at) + this.line.slice(at + 1);
  }

  private deleteWord(): void {
    const kept = this.beforeCursor.replace(/\S*\s*$/, '');
    this.line = kept + this.line.slice(this.cursor);
    this.cursor = kept.length;
  }

  private showAnew(): string {
    this.shown = { line: '', cursor: 0 };
    return this.prompt + this.flush();
  }

  /** What makes the screen show the line as it is. */
  private flush(): string {
    const { line, cursor, shown } = this;
    this.shown = { line, cursor };
    if (line !== shown.line) {
      return left(shown.cursor) + line + eraseRest + left(line.length - cursor);
    }
    return cursor < shown.cursor ? left(shown.cursor - cursor) : right(cursor - shown.cursor);
  }
}
