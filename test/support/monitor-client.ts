/**
 * A client that does not wait for a monitor: it says all it wants to know as soon as it has a stream, and keeps what it
 * is told.
 */
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import * as net from 'node:net';
import type { Readable, Writable } from 'node:stream';

export class MonitorClient {
  received = '';
  private readonly over: Promise<void>;
  private waiting: (() => void)[] = [];

  constructor(
    input: Readable,
    private readonly output: Writable | undefined,
  ) {
    input.setEncoding('utf8').on('data', (text: string) => {
      this.received += text;
      for (const wake of this.waiting.splice(0)) wake();
    });
    // However the other side goes away, it is over then.
    for (const stream of [input, output]) stream?.on('error', () => {});
    this.over = new Promise((resolve) => {
      input.once('end', resolve).once('close', resolve);
    });
    void this.over.then(() => {
      for (const wake of this.waiting.splice(0)) wake();
    });
  }

  /** Tries without a pause until somebody listens there, or `isGivenUp`. */
  static async connect(target: net.NetConnectOpts, isGivenUp: () => boolean): Promise<MonitorClient> {
    while (!isGivenUp()) {
      if ('path' in target && !existsSync(target.path)) {
        await new Promise((resolve) => setImmediate(resolve));
        continue;
      }
      const socket = net.connect(target);
      try {
        await once(socket, 'connect');
        return new MonitorClient(socket, socket);
      } catch {
        socket.destroy();
      }
    }
    throw new Error(`nobody listens on ${JSON.stringify(target)}`);
  }

  say(text: string): void {
    this.output?.write(text);
  }

  leave(): void {
    this.output?.destroy();
  }

  /** Waits for a match in all that came so far. Errors: it is over without. */
  async until(pattern: RegExp): Promise<RegExpExecArray> {
    let isOver = false;
    void this.over.then(() => {
      isOver = true;
    });
    for (;;) {
      const match = pattern.exec(this.received);
      if (match) return match;
      if (isOver) throw new Error(`it is over without ${pattern}: ${JSON.stringify(this.received)}`);
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
  }

  /** All that came, when the program has left. */
  async all(): Promise<string> {
    await this.over;
    return this.received;
  }
}
