/**
 * The human monitor on a character device: a banner, a prompt, and a line at a time, which is edited here (line-editor.ts).
 *
 * To the server it is a QMP client that sends little but `human-monitor-command`, so that its commands take their turns
 * with everybody else's. What is typed while a command runs waits until it is over.
 */
import { Lines } from '../../base/lines.ts';
import type { Connection, ConnectionHandlers } from '../../platform/connection.ts';
import type { QmpServer } from '../../qmp/server.ts';
import { versionInfo } from '../../qmp/version.ts';
import type { HmpCommand } from './command.ts';
import { complete } from './completion.ts';
import { LineEditor } from './line-editor.ts';

const prompt = '(qemu) ';

interface Answer {
  readonly event?: string;
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
}

/** `commands`: what lines can begin with. */
export function serveReadline(
  server: QmpServer,
  terminal: Connection,
  commands: readonly HmpCommand[],
): ReadlineMonitor {
  const monitor = new ReadlineMonitor(server, terminal, commands);
  monitor.start();
  return monitor;
}

class ReadlineMonitor {
  private handlers: ConnectionHandlers | undefined;
  private readonly editor = new LineEditor(prompt);
  private readonly fromServer = new Lines();
  /** Bytes that were typed and not looked at yet. */
  private typed: number[] = [];
  private isBusy = false;
  private hasEnded = false;
  /** The program ends: there is nothing left to ask for. */
  private isOver = false;
  /** Who waits for answers, in the order of their questions. */
  private readonly asked: ((answer: Answer) => void)[] = [];

  constructor(
    private readonly server: QmpServer,
    private readonly terminal: Connection,
    private readonly commands: readonly HmpCommand[],
  ) {}

  start(): void {
    const { server, terminal } = this;
    const { major, minor, micro } = versionInfo.qemu;
    this.show(
      `QEMU ${major}.${minor}.${micro} monitor - type 'help' for more information\r\n${this.editor.begin()}`,
    );
    server.connect({
      start: (handlers) => {
        this.handlers = handlers;
        void this.ask('qmp_capabilities');
      },
      write: (bytes) => {
        for (const line of this.fromServer.take(bytes)) this.onMessage(JSON.parse(line) as Answer);
      },
      get unsentBytes() {
        return terminal.unsentBytes;
      },
      // There is one question at a time, and the terminal waits by itself.
      pause: () => {},
      resume: () => {},
      close: () => terminal.close(),
    });
    terminal.start({
      data: (bytes) => {
        for (const byte of bytes) this.typed.push(byte);
        void this.edit();
      },
      drained: () => this.handlers?.drained(),
      ended: () => {
        this.hasEnded = true;
        void this.edit();
      },
      closed: () => this.handlers?.closed(),
    });
  }

  /** It has the terminal again, after somebody else had it: what was typed before is gone. */
  takeTurn(): void {
    if (!this.isBusy) this.show(this.editor.begin());
  }

  /** Somebody else gets the terminal. */
  leaveTurn(): void {
    this.show('\r\n');
  }

  /** Looks at what was typed, a byte at a time. */
  private async edit(): Promise<void> {
    if (this.isBusy) return;
    this.isBusy = true;
    this.terminal.pause();
    for (let byte = this.typed.shift(); byte !== undefined; byte = this.typed.shift()) {
      const { output, action } = this.editor.take(byte);
      this.show(output);
      if (action?.type === 'run') await this.run(action.line);
      if (action?.type === 'complete') await this.complete();
    }
    this.isBusy = false;
    this.terminal.resume();
    if (this.hasEnded) this.handlers?.ended();
  }

  private async run(line: string): Promise<void> {
    const command = Buffer.from(line, 'latin1').toString();
    const text = /^\s*info\s+history\s*$/.test(command) ? this.describeHistory() : await this.answer(command);
    this.show(Buffer.from(text).toString('latin1') + (this.isOver ? '' : this.editor.begin()));
  }

  private async answer(command: string): Promise<string> {
    const { return: result, error } = await this.ask('human-monitor-command', { 'command-line': command });
    return error ? `Error: ${error.desc}\r\n` : String(result);
  }

  /** It is of this terminal's lines: over QMP there are none. */
  private describeHistory(): string {
    return this.editor.entered
      .map((line, i) => `${i}: '${Buffer.from(line, 'latin1').toString()}'\r\n`)
      .join('');
  }

  private async complete(): Promise<void> {
    const { text, rows } = await complete(this.editor.beforeCursor, {
      commands: this.commands,
      disks: async () => {
        const { return: found } = await this.ask('query-block');
        return (found as { device: string }[]).map(({ device }) => device).filter((name) => name !== '');
      },
    });
    this.show(rows.length > 0 ? this.editor.list(rows, text) : this.editor.insert(text));
  }

  private ask(execute: string, args: object = {}): Promise<Answer> {
    const answer = new Promise<Answer>((resolve) => this.asked.push(resolve));
    this.handlers?.data(Buffer.from(`${JSON.stringify({ execute, arguments: args })}\n`));
    return answer;
  }

  private onMessage(message: Answer): void {
    if (message.event === 'SHUTDOWN') this.isOver = true;
    // What else the server says are its greeting and events.
    if (message.return !== undefined || message.error !== undefined) this.asked.shift()?.(message);
  }

  /** `text`: a character for each byte. */
  private show(text: string): void {
    if (text !== '') this.terminal.write(Buffer.from(text, 'latin1'));
  }
}
