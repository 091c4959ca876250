/**
 * The human monitor on a chardev: a banner, a prompt, and a line at a time. Editing a line is the terminal's affair.
 *
 * To the server it is a QMP client that sends nothing but `human-monitor-command`, so that its commands take their turns
 * with everybody else's.
 */
import { Lines } from '../../base/lines.ts';
import type { Connection, ConnectionHandlers } from '../../platform/connection.ts';
import type { QmpServer } from '../../qmp/server.ts';
import { versionInfo } from '../../qmp/version.ts';

const prompt = '(qemu) ';
const encoder = new TextEncoder();

export function serveReadline(server: QmpServer, terminal: Connection): void {
  new ReadlineMonitor(server, terminal).start();
}

class ReadlineMonitor {
  private handlers: ConnectionHandlers | undefined;
  private readonly fromTerminal = new Lines();
  private readonly fromServer = new Lines();

  constructor(
    private readonly server: QmpServer,
    private readonly terminal: Connection,
  ) {}

  start(): void {
    const { server, terminal } = this;
    const { major, minor, micro } = versionInfo.qemu;
    this.print(
      `QEMU ${major}.${minor}.${micro} monitor (${versionInfo.package}) - type 'help' for more information\r\n${prompt}`,
    );
    server.connect({
      start: (handlers) => {
        this.handlers = handlers;
        this.send('qmp_capabilities');
      },
      write: (bytes) => {
        for (const line of this.fromServer.take(bytes)) this.onMessage(line);
      },
      get unsentBytes() {
        return terminal.unsentBytes;
      },
      pause: () => terminal.pause(),
      resume: () => terminal.resume(),
      close: () => terminal.close(),
    });
    terminal.start({
      data: (bytes) => {
        for (const line of this.fromTerminal.take(bytes)) this.run(line.replace(/\r$/, ''));
      },
      drained: () => this.handlers?.drained(),
      ended: () => this.handlers?.ended(),
      closed: () => this.handlers?.closed(),
    });
  }

  private run(line: string): void {
    this.send('human-monitor-command', { 'command-line': line });
  }

  private send(execute: string, args: object = {}): void {
    this.handlers?.data(encoder.encode(`${JSON.stringify({ execute, arguments: args })}\n`));
  }

  private onMessage(line: string): void {
    const { return: result, error } = JSON.parse(line) as { return?: unknown; error?: { desc: string } };
    if (typeof result === 'string') this.print(`${result}${prompt}`);
    else if (error) this.print(`Error: ${error.desc}\r\n${prompt}`);
  }

  private print(text: string): void {
    this.terminal.write(encoder.encode(text));
  }
}
