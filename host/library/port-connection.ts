/**
 * A QMP session over a MessagePort: each message is one JSON text, or, from the client, any object.
 *
 * A port delivers whole messages in order, so there is no framing. It says nothing of what its other end has taken: a
 * client that never looks at its messages holds them in its own memory, and is not given up. `null` ends the session,
 * from either side.
 */
import type { Connection, ConnectionHandlers } from '../platform/connection.ts';

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export class PortConnection implements Connection {
  readonly unsentBytes = 0;
  private handlers: ConnectionHandlers | undefined;
  private isPaused = false;
  private isClosed = false;
  private waiting: unknown[] = [];

  constructor(private readonly port: MessagePort) {}

  start(handlers: ConnectionHandlers): void {
    this.handlers = handlers;
    this.port.onmessage = ({ data }) => {
      if (this.isPaused) this.waiting.push(data);
      else this.take(data);
    };
    this.port.addEventListener('close', () => this.end());
  }

  write(bytes: Uint8Array): void {
    if (!this.isClosed) this.port.postMessage(decoder.decode(bytes).trimEnd());
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
    while (!this.isPaused && this.waiting.length > 0) this.take(this.waiting.shift());
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.port.postMessage(null);
    this.port.close();
  }

  private take(message: unknown): void {
    if (this.isClosed) return;
    if (message === null) this.end();
    else this.handlers?.data(encoder.encode(`${textOf(message)}\n`));
  }

  private end(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.port.close();
    this.handlers?.closed();
  }
}

/** What has no JSON text is a request that the monitor refuses, like any other. */
function textOf(message: unknown): string {
  if (typeof message === 'string') return message;
  try {
    return JSON.stringify(message) ?? 'null';
  } catch {
    return 'null';
  }
}
