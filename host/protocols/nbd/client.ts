/**
 * The client of one export: its connections, and what becomes of requests while there are none (specification: nbd,
 * section 5).
 *
 * | state       | a request                                        | goes on to                                                  |
 * |-------------|--------------------------------------------------|-------------------------------------------------------------|
 * | `connected` | is sent, or waits for one of those that are      | `waiting` or, without a reconnect delay, or if nobody is to wait, `failing`, when the last connection is lost |
 * | `waiting`   | waits                                            | `connected`; `failing` when one has waited for the delay    |
 * | `failing`   | fails, and has the next attempt begin at once    | `connected`                                                 |
 * | `closed`    | fails                                            |                                                             |
 *
 * A server that takes several connections gets more of them when one is full of requests: what is durable for one is durable
 * for all. Requests that were on their way in a connection that is lost go out again in another one, if there is or will be
 * one; writing the same twice is harmless, for nobody has been told that it was done. Where requests wait for another connection, it
 * is told first what a server that was killed may have forgotten (unflushed.ts).
 */
import { asBlockError, BlockError } from '../../base/errors.ts';
import { hasFlag, type UsedExport } from '../../nbd/client/remote-export.ts';
import type { ClientRequest } from '../../nbd/client/request.ts';
import type { Clock, Timer } from '../../platform/platform.ts';
import type { NbdSession, SessionOwner } from './session.ts';
import type { Restoration } from './unflushed.ts';

interface NbdClientSettings {
  /** Seconds for which requests wait for another connection; 0: they fail. */
  readonly reconnectDelay: number;
  /** Seconds for which a server that cannot be reached is tried again when the client is opened; 0: once. */
  readonly openTimeout: number;
  /** At most, to a server that takes several. */
  readonly maxConnections: number;
}

/** How connections come to be, and who hears of them. */
export interface NbdConnector {
  /** Not yet negotiated. `signal` gives the attempt up, with ECANCELED. Errors: BlockError. */
  connect(signal: AbortSignal): Promise<NbdSession>;
  /** Errors: BlockError, about an export that is not, or not any more, what it has to be. */
  check(target: UsedExport): void;
  /** One connection more. */
  connected(target: UsedExport): void;
  /** One connection less, or none where one was to be. */
  lost(error: BlockError): void;
  /** Requests wait for a connection, because of the error. Undefined: none does any more. */
  waiting(error: BlockError | undefined): void;
  /** What a server is told first that may have forgotten it. Absent: nobody keeps that. */
  restoration?: () => Restoration;
}

const firstPauseSeconds = 1;
const longestPauseSeconds = 16;

export class NbdClient implements SessionOwner {
  private state: 'connected' | 'waiting' | 'failing' | 'closed' = 'failing';
  private readonly sessions: NbdSession[] = [];
  /** Not yet of use. */
  private readonly beginning = new Set<NbdSession>();
  /** In the order in which they are to be sent. */
  private queue: ClientRequest[] = [];
  /** Requests may wait for a connection. */
  private isPatient = true;
  private isReconnecting = false;
  private isAdding = false;
  /** Connections that are being made are not wanted any more. */
  private readonly giveUp = new AbortController();
  /**
   * A connection has been lost, and the server may have been started again since: those that are left are to the one that was
   * there before, and get no others beside them.
   */
  private mayBeAnother = false;
  /** Ends the pause between two attempts. */
  private endPause: (() => void) | undefined;
  private delayTimer: Timer | undefined;
  private openTimer: Timer | undefined;
  private isOpenTimedOut = false;
  /** Why there is one connection less, or none. */
  private lastError: BlockError | undefined;
  /** What the server has told last. */
  private told: UsedExport | undefined;

  constructor(
    private readonly connector: NbdConnector,
    private readonly settings: NbdClientSettings,
    private readonly clock: Clock,
  ) {}

  /** The export, as it is now. The client must be open. */
  get target(): UsedExport {
    return this.told!;
  }

  /** Errors: BlockError, why the export cannot be used; the client is closed then. */
  async open(): Promise<void> {
    const { openTimeout } = this.settings;
    if (openTimeout > 0) {
      this.openTimer = this.clock.setTimer(openTimeout * 1e9, () => {
        this.isOpenTimedOut = true;
        this.giveUpAttempts();
      });
    }
    try {
      await this.connectFirst();
    } catch (error) {
      this.close();
      throw asBlockError(error);
    } finally {
      this.openTimer?.cancel();
    }
  }

  /** It is settled whatever happens. */
  submit(request: ClientRequest): void {
    if (this.state === 'failing' || this.state === 'closed') {
      fail(request, this.unreachable());
      this.endPause?.();
      this.reconnect();
      return;
    }
    this.queue.push(request);
    if (this.state === 'connected') this.sendQueued();
    else this.awaitConnection();
  }

  get isConnected(): boolean {
    return this.state === 'connected';
  }

  /** Requests do not wait for a connection, now or if there should be none, until the server has answered something. */
  cancelWaiting(): void {
    this.isPatient = false;
    if (this.state === 'waiting') this.giveUpWaiting();
  }

  close(): void {
    if (this.state === 'closed') return;
    this.state = 'closed';
    this.delayTimer?.cancel();
    for (const session of this.sessions.splice(0)) session.close();
    this.failQueued();
    this.giveUpAttempts();
  }

  answered(): void {
    this.isPatient = true;
    if (this.queue.length > 0) this.sendQueued();
  }

  lost(session: NbdSession, error: BlockError, culprit: ClientRequest | undefined): void {
    this.sessions.splice(this.sessions.indexOf(session), 1);
    this.noteLoss(error);
    this.mayBeAnother = this.connector.restoration !== undefined;
    const unfinished = session.takeUnfinished();
    // Who answers wrongly would do so again.
    if (culprit) fail(culprit, new BlockError(error.errno, undefined, { cause: error }));
    const others = unfinished.filter((request) => request !== culprit);
    for (const request of others) request.reset();
    this.queue = [...others, ...this.queue];
    if (this.sessions.length > 0) {
      this.sendQueued();
      return;
    }
    this.state = this.settings.reconnectDelay > 0 && this.isPatient ? 'waiting' : 'failing';
    if (this.state === 'failing') this.failQueued();
    else if (this.queue.length > 0) this.awaitConnection();
  }

  private async connectFirst(): Promise<void> {
    let pause = firstPauseSeconds;
    for (;;) {
      try {
        await this.connectOnce();
        return;
      } catch (error) {
        const failure = asBlockError(error);
        if (this.isOpenTimedOut && failure.errno === 'ECANCELED')
          throw new BlockError('ETIMEDOUT', 'Connection attempt cancelled by timeout');
        if (this.settings.openTimeout === 0 || this.isOpenTimedOut) throw failure;
        await this.pause(pause);
        if (this.isOpenTimedOut) throw failure;
        pause = Math.min(longestPauseSeconds, 2 * pause);
      }
    }
  }

  /** One more connection. Errors: BlockError. */
  private async connectOnce(): Promise<void> {
    const { connector } = this;
    const isFirst = this.sessions.length === 0;
    const session = await connector.connect(this.giveUp.signal);
    if (this.giveUp.signal.aborted) {
      session.close();
      throw new BlockError('ECANCELED');
    }
    this.beginning.add(session);
    try {
      const target = await session.use();
      this.checkSame(target);
      if (!isFirst && this.mayBeAnother) throw new BlockError('ECANCELED');
      if (isFirst && this.mayBeAnother) await this.restore(session);
      session.serve(this);
      this.told = target;
    } catch (error) {
      session.close();
      throw error;
    } finally {
      this.beginning.delete(session);
    }
    this.sessions.push(session);
    this.mayBeAnother = false;
    this.connector.connected(this.target);
    this.endWaiting('connected');
    this.sendQueued();
  }

  /** Errors: BlockError; the session is over then, or of no use. */
  private async restore(session: NbdSession): Promise<void> {
    const restoration = this.connector.restoration?.();
    if (!restoration) return;
    session.serve(restoration);
    await restoration.run(session);
  }

  /** Errors: BlockError. The disk cannot become another while it is open. */
  private checkSame(target: UsedExport): void {
    this.connector.check(target);
    if (this.told && target.size < this.told.size) {
      throw new BlockError('EINVAL', `Export has ${target.size} bytes now, which were ${this.told.size}`);
    }
  }

  private sendQueued(): void {
    const { queue } = this;
    let sent = 0;
    for (; sent < queue.length; sent++) {
      const session = this.freest();
      if (!session) break;
      session.send(queue[sent]!); // it is in the queue
    }
    queue.splice(0, sent);
    if (queue.length > 0) this.addConnection();
  }

  private freest(): NbdSession | undefined {
    let best: NbdSession | undefined;
    for (const session of this.sessions) {
      if (session.hasRoom && (!best || session.inFlight < best.inFlight)) best = session;
    }
    return best;
  }

  private addConnection(): void {
    const { maxConnections } = this.settings;
    if (this.isAdding || this.mayBeAnother || this.sessions.length === 0) return;
    if (this.sessions.length >= maxConnections) return;
    if (!hasFlag(this.target, 'canMultiConn')) return;
    this.isAdding = true;
    void this.connectOnce().then(
      () => {
        this.isAdding = false;
        if (this.queue.length > 0) this.sendQueued();
      },
      // The server does not want it: what there is has to do, and is not asked for more.
      (error) => this.noteLoss(asBlockError(error)),
    );
  }

  /** For good: whatever would become a connection does not. */
  private giveUpAttempts(): void {
    this.giveUp.abort();
    for (const session of this.beginning) session.close();
    this.endPause?.();
  }

  private awaitConnection(): void {
    const { reconnectDelay } = this.settings;
    if (!this.delayTimer) {
      this.delayTimer = this.clock.setTimer(reconnectDelay * 1e9, () => this.giveUpWaiting());
      this.connector.waiting(this.lastError);
    }
    this.reconnect();
  }

  private giveUpWaiting(): void {
    this.endWaiting('failing');
    this.failQueued();
  }

  private endWaiting(state: 'connected' | 'failing'): void {
    this.state = state;
    if (!this.delayTimer) return;
    this.delayTimer.cancel();
    this.delayTimer = undefined;
    this.connector.waiting(undefined);
  }

  private reconnect(): void {
    if (this.state === 'closed' || this.isReconnecting) return;
    void this.reconnectUntilConnected();
  }

  private async reconnectUntilConnected(): Promise<void> {
    this.isReconnecting = true;
    let pause = firstPauseSeconds;
    while (this.state === 'waiting' || this.state === 'failing') {
      try {
        await this.connectOnce();
      } catch (error) {
        this.noteLoss(asBlockError(error));
        await this.pause(pause);
        pause = Math.min(longestPauseSeconds, 2 * pause);
      }
    }
    this.isReconnecting = false;
  }

  private pause(seconds: number): Promise<void> {
    if (this.state === 'closed') return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.clock.setTimer(seconds * 1e9, () => this.endPause?.());
      this.endPause = () => {
        this.endPause = undefined;
        timer.cancel();
        resolve();
      };
    });
  }

  private noteLoss(error: BlockError): void {
    if (this.state === 'closed') return;
    this.lastError = error;
    this.connector.lost(error);
  }

  private failQueued(): void {
    for (const request of this.queue.splice(0)) fail(request, this.unreachable());
  }

  private unreachable(): BlockError {
    return new BlockError('EIO', undefined, { cause: this.lastError, reason: 'unreachable' });
  }
}

function fail(request: ClientRequest, error: BlockError): void {
  request.error = error;
  request.settle(request);
}
