/** A client in the same process that says what it is told to, byte by byte, and keeps what it gets. */
import type { Connection, ConnectionHandlers } from '../../host/platform/connection.ts';

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export class RecordingConnection implements Connection {
  received = '';
  unsentBytes = 0;
  isPaused = false;
  isClosed = false;
  private handlers: ConnectionHandlers | undefined;

  start(handlers: ConnectionHandlers): void {
    this.handlers = handlers;
  }
  write(bytes: Uint8Array): void {
    this.received += decoder.decode(bytes);
  }
  pause(): void {
    this.isPaused = true;
  }
  resume(): void {
    this.isPaused = false;
  }
  close(): void {
    this.isClosed = true;
  }

  send(input: string | Uint8Array | object): void {
    const bytes = input instanceof Uint8Array ? input : encoder.encode(asText(input));
    this.handlers!.data(bytes); // connected before anything is sent
  }

  /** The client has sent everything. */
  end(): void {
    this.handlers!.ended();
  }

  /** The client is gone. */
  vanish(): void {
    this.isClosed = true;
    this.handlers!.closed();
  }

  drained(): void {
    this.unsentBytes = 0;
    this.handlers!.drained();
  }

  /** Takes the messages that have come since the last time. */
  take(): Record<string, unknown>[] {
    const lines = this.received.split('\r\n').filter((line) => line !== '');
    this.received = '';
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  }
}

function asText(input: string | object): string {
  return typeof input === 'string' ? input : JSON.stringify(input);
}
