/**
 * A QMP client (specification: qmp-protocol, sections 1 to 4): bytes of a monitor in; answers, events and bytes for the
 * monitor out. What carries them is the connection's affair: a socket, a child's standard streams, a port, or a server in
 * this process.
 *
 * Commands may overlap; each carries an id, by which its answer is known. Events that a command causes are delivered
 * before its answer, those of jobs whenever they happen. A message is one line (not `pretty=on`). On standard streams a
 * monitor prints other lines as well (`Formatting 'x'…`), so what does not begin with a brace is passed over; what
 * does and is no message ends the session, like everything else that ends it: commands that wait fail, and all later ones.
 */
import { Lines } from '../base/lines.ts';
import type { Connection } from '../platform/connection.ts';
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

/** An event of the monitor: its name, what it says, and when it was. */
export interface QmpEvent {
  readonly event: string;
  readonly data: JsonObject;
  readonly timestamp: { readonly seconds: number; readonly microseconds: number };
}

/** Is called with each event, in order. */
export type EventListener = (event: QmpEvent) => void;

interface Waiting {
  readonly command: string;
  resolve(answer: JsonValue): void;
  reject(error: Error): void;
}

/** What the monitor sends. Members that are not of the kind of message are absent; the greeting has none of these. */
interface Message {
  id?: number;
  return?: JsonValue;
  error?: { class: string; desc: string };
  event?: string;
  data?: JsonObject;
  timestamp?: QmpEvent['timestamp'];
}

/** UTF-16 units. A monitor that sends more in one message is given up. */
const maxMessageLength = 64 << 20;
const encoder = new TextEncoder();

/** A client of a QMP monitor, over any connection: runs commands, one answer each, and listens to events. */
export class QmpClient {
  private lastId = 0;
  private readonly lines = new Lines();
  private readonly waiting = new Map<number, Waiting>();
  private readonly listeners = new Map<string, Set<EventListener>>();
  private isClosed = false;

  private constructor(private readonly connection: Connection) {
    connection.start({
      data: (bytes) => this.receive(bytes),
      drained: () => {},
      ended: () => this.close(),
      closed: () => this.close(),
    });
  }

  /** Negotiates. `connection`: not started; a monitor serves its other end. Errors: QmpError. */
  static async connect(connection: Connection): Promise<QmpClient> {
    const client = new QmpClient(connection);
    await client.run('qmp_capabilities');
    return client;
  }

  /** What the command returns. Errors: QmpError. */
  run(command: string, args?: object): Promise<JsonValue> {
    return new Promise((resolve, reject) => {
      if (this.isClosed) throw closedError(command);
      const id = ++this.lastId;
      const text = JSON.stringify({ execute: command, arguments: args, id });
      this.waiting.set(id, { command, resolve, reject });
      this.connection.write(encoder.encode(`${text}\n`));
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
    this.connection.close();
    for (const { command, reject } of this.waiting.values()) reject(closedError(command));
    this.waiting.clear();
  }

  private receive(bytes: Uint8Array): void {
    for (const line of this.lines.take(bytes)) {
      if (this.isClosed) return;
      if (!line.startsWith('{')) continue;
      const message = parseMessage(line);
      if (message) this.take(message);
      else this.close();
    }
    if (this.lines.unfinishedLength > maxMessageLength) this.close();
  }

  private take(message: Message): void {
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

/** `line`: one that begins with a brace, so what it is the text of is an object. Undefined: of nothing. */
function parseMessage(line: string): Message | undefined {
  try {
    return JSON.parse(line) as Message;
  } catch {
    return undefined;
  }
}

function closedError(command: string): QmpError {
  return new QmpError(command, 'GenericError', 'The monitor is closed');
}
