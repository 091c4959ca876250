/**
 * One connection to an NBD server: what arrives goes to the protocol, requests and what comes of them to and from whoever owns
 * it. Requests that are made in one turn of the event loop go out together.
 *
 * It has one life: it is opened, serves, and is over. What to do then is for its owner.
 */
import { assert } from '../../base/assert.ts';
import { asBlockError, BlockError } from '../../base/errors.ts';
import type { Purpose } from '../../nbd/client/handshake.ts';
import { type ClientEvent, ClientProtocol } from '../../nbd/client/protocol.ts';
import type { ListedExport, UsedExport } from '../../nbd/client/remote-export.ts';
import { ClientRequest } from '../../nbd/client/request.ts';
import type { Connection } from '../../platform/connection.ts';
import type { Secure } from '../../platform/tls.ts';

/** Who hears of a session that serves. */
export interface SessionOwner {
  /** There may be room for other requests. */
  answered(session: NbdSession): void;
  /** It is over, and not because it was closed. `culprit`: the request whose reply could not be; it will get none. */
  lost(session: NbdSession, error: BlockError, culprit: ClientRequest | undefined): void;
}

/** The exports of a server, as it lists them. */
interface ExportList {
  readonly exports: readonly ListedExport[];
  /** Requests to them may have lengths of 64 bits. */
  readonly isExtended: boolean;
}

/** What is left when TLS has begun. */
type Negotiated = Exclude<ClientEvent, ClientRequest | { readonly type: 'tls' }>;

interface Opening {
  resolve(outcome: Negotiated): void;
  reject(error: BlockError): void;
}

export class NbdSession {
  private readonly protocol: ClientProtocol;
  private opening: Opening | undefined;
  private owner: SessionOwner | undefined;
  private isSendingSoon = false;
  /** Why it is over. */
  private failure: BlockError | undefined;

  constructor(
    private connection: Connection,
    purpose: Purpose,
    /** There is one where the purpose uses TLS. */
    private readonly secure?: Secure | undefined,
  ) {
    this.protocol = new ClientProtocol(purpose);
  }

  /** Negotiates. Errors: BlockError, what the server has said or has not; it is over then. */
  async use(): Promise<UsedExport> {
    const outcome = await this.negotiate();
    assert(outcome.type === 'chosen', 'who wants to use an export gets one');
    return outcome.target;
  }

  /** The export that was negotiated is used from now on, and `owner` hears of it. Errors: BlockError, why it is over already. */
  serve(owner: SessionOwner): void {
    if (this.failure) throw this.failure;
    this.owner = owner;
  }

  /** For one that is to list what there is. Errors: as `use`. It is over afterwards. */
  async list(): Promise<ExportList> {
    const outcome = await this.negotiate();
    this.close();
    assert(outcome.type === 'listed', 'who wants a list gets one');
    return outcome;
  }

  get hasRoom(): boolean {
    return this.protocol.hasRoom;
  }

  get inFlight(): number {
    return this.protocol.inFlight;
  }

  /** There must be room. The request is settled when its reply is there; it is not when the session is lost before. */
  send(request: ClientRequest): void {
    this.protocol.send(request);
    if (this.isSendingSoon) return;
    this.isSendingSoon = true;
    queueMicrotask(() => {
      this.isSendingSoon = false;
      this.flush();
    });
  }

  /** Requests that nothing will come of. They are forgotten here. */
  takeUnfinished(): ClientRequest[] {
    return this.protocol.takeUnfinished();
  }

  /** The server is told. Nothing more is heard of it. Harmless when it is over. */
  close(): void {
    if (this.failure) return;
    this.protocol.disconnect();
    this.flush();
    this.end(new BlockError('ECANCELED'));
  }

  private negotiate(): Promise<Negotiated> {
    return new Promise((resolve, reject) => {
      this.opening = { resolve, reject };
      this.listen();
    });
  }

  private listen(): void {
    this.connection.start({
      data: (bytes) => {
        this.protocol.receive(bytes);
        this.pump();
      },
      into: {
        room: () => this.protocol.input.room(),
        filled: (bytes) => {
          this.protocol.input.filled(bytes);
          this.pump();
        },
      },
      drained: () => {},
      ended: () => this.cutOff(),
      closed: () => this.cutOff(),
    });
  }

  /** Until it is done, closing the connection ends the attempt. */
  private async beginTls(): Promise<void> {
    const { secure } = this;
    assert(secure, 'TLS begins only where it is asked for');
    let connection: Connection;
    try {
      connection = await secure(this.connection);
    } catch (error) {
      if (!this.failure) this.fail(asBlockError(error), undefined);
      return;
    }
    if (this.failure) {
      connection.close();
      return;
    }
    this.connection = connection;
    this.protocol.tlsBegun();
    this.listen();
    this.flush();
  }

  private cutOff(): void {
    if (this.failure) return;
    this.protocol.cutOff();
    this.pump();
  }

  private pump(): void {
    while (!this.failure) {
      const event = this.protocol.next();
      if (!event) break;
      this.take(event);
    }
    this.owner?.answered(this);
    this.flush();
  }

  private take(event: ClientEvent): void {
    if (event instanceof ClientRequest) event.settle(event);
    else if (event.type === 'ended') this.fail(event.error, event.request);
    else if (event.type === 'tls') {
      this.flush();
      void this.beginTls();
    } else {
      this.flush();
      this.opening?.resolve(event);
      this.opening = undefined;
    }
  }

  private fail(error: BlockError, culprit: ClientRequest | undefined): void {
    const { owner } = this;
    this.flush();
    this.end(error);
    owner?.lost(this, error, culprit);
  }

  private end(error: BlockError): void {
    this.failure = error;
    this.owner = undefined;
    // What still arrives must not go to where a request wanted it that may be done by now.
    this.connection.pause();
    this.connection.close();
    this.opening?.reject(error);
    this.opening = undefined;
  }

  private flush(): void {
    if (this.failure) return;
    this.protocol.output.sendTo(this.connection);
  }
}
