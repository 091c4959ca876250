/**
 * A QMP client in the same process: real bytes in both directions, no socket.
 */

import type { ConnectionHandlers } from '../../platform/connection.ts';
import type { QmpServer } from '../../qmp/server.ts';

interface QmpEvent {
  event: string;
  data: Record<string, unknown>;
}

interface Reply {
  return?: unknown;
  error?: { class: string; desc: string };
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export class QmpClient {
  readonly events: QmpEvent[] = [];
  /** What the server called out: `{"return": …}` and the like, for whoever wants to see it. */
  lastReply = '';
  private handlers: ConnectionHandlers | undefined;
  private readonly waiting: ((reply: Reply) => void)[] = [];
  private readonly watchers = new Set<(event: QmpEvent) => void>();
  private buffered = '';

  static async connect(server: QmpServer): Promise<QmpClient> {
    const client = new QmpClient();
    server.connect({
      start: (handlers) => {
        client.handlers = handlers;
      },
      write: (bytes) => client.receive(bytes),
      unsentBytes: 0,
      pause: () => {},
      resume: () => {},
      close: () => {},
    });
    await client.execute('qmp_capabilities');
    return client;
  }

  /** What the command returned. Throws with the server's words when it failed. */
  async execute(command: string, args: object = {}): Promise<unknown> {
    const reply = await this.request(command, args);
    if (reply.error) throw new Error(reply.error.desc);
    return reply.return;
  }

  request(command: string, args: object = {}): Promise<Reply> {
    const reply = new Promise<Reply>((resolve) => this.waiting.push(resolve));
    this.handlers!.data(encoder.encode(JSON.stringify({ execute: command, arguments: args })));
    return reply;
  }

  onEvent(watch: (event: QmpEvent) => void): void {
    this.watchers.add(watch);
  }

  private receive(bytes: Uint8Array): void {
    this.buffered += decoder.decode(bytes);
    for (let end = this.buffered.indexOf('\r\n'); end >= 0; end = this.buffered.indexOf('\r\n')) {
      const line = this.buffered.slice(0, end);
      this.buffered = this.buffered.slice(end + 2);
      this.message(line);
    }
  }

  private message(line: string): void {
    const message = JSON.parse(line) as Reply & Partial<QmpEvent>;
    if (message.event !== undefined) {
      const event = { event: message.event, data: message.data ?? {} };
      this.events.push(event);
      for (const watch of this.watchers) watch(event);
    } else if ('return' in message || message.error) {
      this.lastReply = line;
      this.waiting.shift()?.(message);
    }
  }
}
