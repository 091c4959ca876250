/**
 * A QMP client over a MessagePort: commands and their answers, events and who listens to them.
 *
 * Commands may overlap; the monitor runs them one after another. Events that a command causes are delivered before its
 * answer, those of jobs whenever they happen.
 */
import type { JsonObject, JsonValue } from '../qapi/json-value.ts';

/** What a command was refused with. */
export class QmpError extends Error {
  override readonly name = 'QmpError';

  /** `class`: GenericError, CommandNotFound, DeviceNotActive or DeviceNotFound. */
  constructor(
    readonly command: string,
    readonly errorClass: string,
    message: string,
  ) {
    super(message);
  }
}

export interface QmpEvent {
  readonly event: string;
  readonly data: JsonObject;
  readonly timestamp: { readonly seconds: number; readonly microseconds: number };
}

export type EventListener = (event: QmpEvent) => void;

interface Waiting {
  readonly command: string;
  resolve(answer: JsonValue): void;
  reject(error: Error): void;
}

/** What the monitor sends, but for the greeting. */
interface Message {
  id?: number;
  return?: JsonValue;
  error?: { class: string; desc: string };
  event?: string;
  data?: JsonObject;
  timestamp?: QmpEvent['timestamp'];
}

export class QmpClient {
  private last = 0;
  private readonly waiting = new Map<number, Waiting>();
  private readonly listeners = new Map<string, Set<EventListener>>();
  private isClosed = false;

  private constructor(private readonly port: MessagePort) {
    port.onmessage = ({ data }: MessageEvent<string | null>) => this.take(data);
  }

  /** Negotiates. `port`: one whose other end a monitor serves. */
  static async connect(port: MessagePort): Promise<QmpClient> {
    const client = new QmpClient(port);
    await client.run('qmp_capabilities');
    return client;
  }

  /** Errors: QmpError. */
  run(command: string, args?: object): Promise<JsonValue> {
    if (this.isClosed) return Promise.reject(closedError(command));
    const id = ++this.last;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { command, resolve, reject });
      this.port.postMessage(JSON.stringify({ execute: command, ...(args ? { arguments: args } : {}), id }));
    });
  }

  /** `event`: a name, or `*` for all. Gives what ends the listening. */
  on(event: string, listener: EventListener): () => void {
    const all = this.listeners.get(event) ?? new Set();
    this.listeners.set(event, all);
    all.add(listener);
    return () => all.delete(listener);
  }

  /** Commands that wait fail. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.port.postMessage(null);
    this.port.close();
    for (const { command, reject } of this.waiting.values()) reject(closedError(command));
    this.waiting.clear();
  }

  private take(text: string | null): void {
    if (text === null) {
      this.close();
      return;
    }
    const message = JSON.parse(text) as Message;
    if (message.event !== undefined) this.deliver(message as QmpEvent);
    else if (message.id !== undefined) this.settle(message.id, message);
  }

  private deliver(event: QmpEvent): void {
    const told = { ...event, data: event.data ?? {} };
    for (const name of [event.event, '*']) {
      for (const listener of [...(this.listeners.get(name) ?? [])]) listener(told);
    }
  }

  private settle(id: number, { return: result, error }: Message): void {
    const waiting = this.waiting.get(id);
    if (!waiting) return;
    this.waiting.delete(id);
    if (error) waiting.reject(new QmpError(waiting.command, error.class, error.desc));
    else waiting.resolve(result ?? {});
  }
}

function closedError(command: string): QmpError {
  return new QmpError(command, 'GenericError', 'The monitor is closed');
}
