/**
 * One client of an NBD server: what arrives goes to the protocol, requests to the export, replies back (specification: nbd,
 * sections 2 and 3).
 *
 * A client holds back nobody but itself: no more is taken from it than there is room for, be it that many requests are on
 * their way, or that it does not fetch what it is answered. One that does not finish its negotiation in time is let go. What one has
 * left behind that is gone is done before anything else is: whoever has lost a connection asks again over another.
 */
import { assert } from '../base/assert.ts';
import { createDeferred } from '../base/deferred.ts';
import { asBlockError } from '../base/errors.ts';
import type { BufferPool } from '../copy/buffer-pool.ts';
import { Command } from '../nbd/constants.ts';
import type { Agreement } from '../nbd/server/handshake.ts';
import type { Offer } from '../nbd/server/offer.ts';
import { type ServerEvent, ServerProtocol } from '../nbd/server/protocol.ts';
import { Request } from '../nbd/server/request.ts';
import type { Connection } from '../platform/connection.ts';
import type { Clock, Timer } from '../platform/platform.ts';
import type { Secure } from '../platform/tls.ts';
import type { NbdExport } from './nbd-export.ts';

/** Requests of one client that may be on their way. */
const maxInFlight = 64;
/** Bytes that a client may leave to be fetched: then nothing more is done for it. */
const maxUnsentBytes = 1 << 20;
/** Bytes that have arrived and wait: then no more is read. */
const maxPendingBytes = 1 << 20;
/** Others have their turn after that. */
const maxTurnNs = 2_000_000;
/** Bytes that are gathered before they are sent. */
const maxGatheredBytes = 256 << 10;

const changingCommands: ReadonlySet<number> = new Set([Command.write, Command.writeZeroes, Command.trim]);

interface ClientOwner {
  readonly clock: Clock;
  readonly offer: Offer<NbdExport>;
  /** As it is called where events are watched. */
  readonly client: number;
  /** For payloads. */
  readonly memory: BufferPool;
  /** Seconds; 0: any time. */
  readonly handshakeMaxSeconds: number;
  /** There is one where the offer uses TLS. */
  readonly secure: Secure | undefined;
  /** The client has chosen: the export must stay until it is gone. */
  chosen(target: NbdExport): void;
}

export class NbdConnection {
  private readonly protocol: ServerProtocol<NbdExport>;
  private timer: Timer | undefined;
  private agreement: Agreement<NbdExport> | undefined;
  private inFlight = 0;
  /** Of those, what changes the disk. */
  private changes = 0;
  /** It waits for what clients have left who are gone. */
  private isHeld = false;
  private readonly gone = createDeferred<string | undefined>();
  private isPumping = false;
  private isPaused = false;
  private isClosed = false;
  private reason: string | undefined;

  constructor(
    private connection: Connection,
    private readonly owner: ClientOwner,
  ) {
    this.protocol = new ServerProtocol(owner.offer, owner.memory, owner.client);
  }

  /** Greets the client. What it does is told from now on. */
  begin(): void {
    const { handshakeMaxSeconds: limit, clock } = this.owner;
    this.timer =
      limit > 0 ? clock.setTimer(limit * 1e9, () => this.close('handshake took too long')) : undefined;
    this.listen();
    this.send();
  }

  private listen(): void {
    this.connection.start({
      data: (bytes) => this.receive(bytes),
      into: {
        room: () => this.protocol.input.room(),
        filled: (bytes) => {
          this.protocol.input.filled(bytes);
          this.pump();
        },
      },
      drained: () => this.pump(),
      ended: () => this.close(this.protocol.missing),
      closed: () => this.close(this.protocol.missing),
    });
  }

  /** Nothing is answered any more. `reason`: what the client has done wrong. Harmless when closed before. */
  close(reason?: string): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.timer?.cancel();
    this.connection.close();
    this.agreement?.export.abandon(this.changes);
    this.reason = reason;
    if (this.inFlight === 0) this.gone.resolve(reason);
  }

  /** Settles when it is closed and its last request is over; with what the client has done wrong. */
  get whenGone(): Promise<string | undefined> {
    return this.gone.promise;
  }

  private receive(bytes: Uint8Array): void {
    this.protocol.receive(bytes);
    this.pump();
  }

  private pump(): void {
    if (this.isPumping || this.isClosed) return;
    this.isPumping = true;
    const { clock } = this.owner;
    const began = clock.nowNs();
    while (this.hasRoom()) {
      const event = this.protocol.next();
      if (!event) break;
      this.take(event);
      if (this.protocol.output.length > maxGatheredBytes) this.send();
      if (clock.nowNs() - began < maxTurnNs) continue;
      void clock.yield().then(() => {
        this.isPumping = false;
        this.pump();
      });
      this.send();
      this.throttleInput();
      return;
    }
    this.isPumping = false;
    this.send();
    this.throttleInput();
    this.waitUntilSettled();
  }

  private hasRoom(): boolean {
    if (this.isClosed || this.agreement?.export.isSettled === false) return false;
    return this.inFlight < maxInFlight && this.connection.unsentBytes < maxUnsentBytes;
  }

  /** Goes on when its turn comes. */
  private waitUntilSettled(): void {
    const target = this.agreement?.export;
    if (!target || target.isSettled || this.isHeld || this.isClosed) return;
    this.isHeld = true;
    void target.whenSettled().then(() => {
      this.isHeld = false;
      this.pump();
    });
  }

  private throttleInput(): void {
    const isFull = !this.hasRoom() && this.protocol.pendingBytes > maxPendingBytes;
    if (isFull === this.isPaused || this.isClosed) return;
    this.isPaused = isFull;
    if (isFull) this.connection.pause();
    else this.connection.resume();
  }

  private take(event: ServerEvent<NbdExport>): void {
    if (event instanceof Request) this.perform(event);
    else if (event.type === 'chosen') this.choose(event.agreement);
    else if (event.type === 'tls') void this.beginTls();
    else if (event.type === 'ended') {
      this.send();
      this.close(event.reason);
    }
  }

  /** Until it is done, closing the connection ends the attempt. */
  private async beginTls(): Promise<void> {
    const { secure } = this.owner;
    assert(secure, 'TLS begins only where it is offered');
    this.send();
    try {
      const connection = await secure(this.connection);
      if (this.isClosed) {
        connection.close();
        return;
      }
      this.connection = connection;
    } catch (error) {
      this.close(asBlockError(error).message);
      return;
    }
    this.protocol.tlsBegun();
    this.listen();
  }

  private choose(agreement: Agreement<NbdExport>): void {
    this.timer?.cancel();
    this.agreement = agreement;
    this.owner.chosen(agreement.export);
  }

  private perform(request: Request): void {
    const { agreement } = this;
    assert(agreement, 'there are no requests before an export is chosen');
    const done = agreement.export.requests.perform(request, this.protocol.replies);
    if (!done) return;
    const isChange = changingCommands.has(request.command);
    this.inFlight++;
    if (isChange) this.changes++;
    void done.then(() => {
      this.inFlight--;
      if (isChange) this.changes--;
      if (isChange && this.isClosed) agreement.export.abandonedDone();
      if (request.memory) this.owner.memory.give(request.memory);
      if (!this.isClosed) this.pump();
      else if (this.inFlight === 0) this.gone.resolve(this.reason);
    });
  }

  private send(): void {
    if (this.isClosed) return;
    this.protocol.output.sendTo(this.connection);
  }
}
