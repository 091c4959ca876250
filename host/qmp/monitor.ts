/**
 * A monitor: one client's session on a byte stream. A thin shell around the protocol object; what requests do is the
 * server's affair.
 *
 * Input is held back while there are requests to answer, and while the client does not fetch its answers. A client that
 * never fetches them is disconnected. A client that has sent all it wants to send gets its answers first.
 */
import type { Connection } from '../platform/connection.ts';
import { type Incoming, type Outcome, QmpProtocol, type Timestamp } from './protocol.ts';

interface MonitorOptions {
  pretty?: boolean | undefined;
  /** There is a request for `next`. */
  onRequest(): void;
  /** A request that must be answered at once. */
  onOutOfBand(incoming: Incoming): void;
  onClosed(): void;
}

/** Above this nothing more is read from the client until it has fetched its answers. */
const slowClientBytes = 1 << 20;
/** Above this the client is given up: events do not wait. */
const deadClientBytes = 64 << 20;

export class Monitor {
  readonly session: QmpProtocol;
  private inputOver = false;
  private closed = false;
  private answering = false;

  constructor(
    private readonly connection: Connection,
    private readonly options: MonitorOptions,
  ) {
    this.session = new QmpProtocol(options.pretty);
    connection.start({
      data: (bytes) => {
        this.session.receive(bytes);
        this.afterReading();
      },
      drained: () => this.afterReading(),
      ended: () => {
        this.inputOver = true;
        this.afterReading();
      },
      closed: () => this.forget(),
    });
    this.write(this.session.greeting());
  }

  get hasRequest(): boolean {
    return !this.closed && this.session.hasRequest && this.connection.unsentBytes <= slowClientBytes;
  }

  next(): Incoming | undefined {
    this.answering = true;
    return this.session.next();
  }

  answer(incoming: Incoming, outcome: Outcome): void {
    this.write(this.session.answer(incoming, outcome));
    this.answering = false;
    this.session.proceed();
    this.afterReading();
  }

  answerOutOfBand(incoming: Incoming, outcome: Outcome): void {
    this.write(this.session.answer(incoming, outcome));
  }

  event(timestamp: Timestamp, name: string, data: object | undefined): void {
    const bytes = this.session.event(timestamp, name, data);
    if (bytes) this.write(bytes);
  }

  close(): void {
    if (this.closed) return;
    this.forget();
    this.connection.close();
  }

  private write(bytes: Uint8Array): void {
    if (this.closed) return;
    this.connection.write(bytes);
    if (this.connection.unsentBytes > deadClientBytes) this.close();
  }

  private afterReading(): void {
    if (this.closed) return;
    for (let urgent = this.session.nextOutOfBand(); urgent; urgent = this.session.nextOutOfBand()) {
      this.options.onOutOfBand(urgent);
    }
    if (this.session.isFull) this.connection.pause();
    else this.connection.resume();
    if (this.session.hasRequest) this.options.onRequest();
    else if (this.inputOver && !this.answering) this.close();
  }

  private forget(): void {
    if (this.closed) return;
    this.closed = true;
    this.options.onClosed();
  }
}
