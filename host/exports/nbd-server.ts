/**
 * The NBD server of a program: who may come, and what they may choose from (specification: nbd, sections 2 and 4).
 *
 * Exports come and go while it listens. When as many clients are connected as may be, others wait, without a greeting, until
 * one goes. Stopping it ends all connections; the exports are for whoever made them.
 */
import { BufferPool } from '../copy/buffer-pool.ts';
import type { Connection } from '../platform/connection.ts';
import type { Clock, Console } from '../platform/platform.ts';
import type { Listener, SocketAddress, Sockets } from '../platform/sockets.ts';
import type { Secure } from '../platform/tls.ts';
import { connectionClose, connectionOpen } from '../trace/events.ts';
import { NbdConnection } from './nbd-connection.ts';
import type { NbdExport } from './nbd-export.ts';

export interface NbdServerLimits {
  /** Clients at the same time; 0: any number. */
  readonly maxConnections: number;
  /** Seconds a client has to choose an export; 0: any time. */
  readonly handshakeMaxSeconds: number;
}

export interface NbdServerOptions extends NbdServerLimits {
  /** Clients have to speak TLS. Absent: they cannot. */
  readonly secure?: Secure | undefined;
}

/** Who hears of clients. */
export interface NbdServerListener {
  /** One is greeted. */
  came?(): void;
  /** One has gone, as it wanted or not. */
  gone?(): void;
}

export const defaultMaxConnections = 100;
export const defaultHandshakeMaxSeconds = 10;

/** Clients that may wait; others are turned away. */
const maxWaiting = 128;

export class NbdServer {
  /** In the order in which they are listed. */
  readonly exports: NbdExport[] = [];
  private readonly clients = new Map<NbdConnection, NbdExport | undefined>();
  private readonly waiting: Connection[] = [];
  private readonly memory = new BufferPool();
  private clientCount = 0;
  private listener: Listener | undefined;
  private isStopped = false;

  constructor(
    readonly options: NbdServerOptions,
    private readonly clock: Clock,
    /** Where it is said what a client has done wrong. */
    private readonly console: Pick<Console, 'error'>,
    private readonly hears: NbdServerListener = {},
  ) {}

  /** Errors: BlockError, when nobody can listen there. */
  async listen(sockets: Sockets, address: SocketAddress): Promise<void> {
    this.listener = await sockets.listen(address, (connection) => this.accept(connection));
  }

  accept(connection: Connection): void {
    if (this.isStopped || this.waiting.length >= maxWaiting) {
      connection.close();
      return;
    }
    this.waiting.push(connection);
    this.serveNext();
  }

  find(name: string): NbdExport | undefined {
    return this.exports.find((one) => one.name === name);
  }

  /** How many have chosen it. */
  clientsOf(target: NbdExport): number {
    return [...this.clients.values()].filter((chosen) => chosen === target).length;
  }

  /** Ends the connections of those who have chosen it, and settles when the last request is over. */
  async disconnect(target: NbdExport): Promise<void> {
    const its = [...this.clients].filter(([, chosen]) => chosen === target).map(([client]) => client);
    for (const client of its) client.close();
    await Promise.all(its.map((client) => client.whenGone));
  }

  /** Nobody can come any more, and who is there is let go. */
  async stop(): Promise<void> {
    this.isStopped = true;
    this.listener?.close();
    for (const connection of this.waiting.splice(0)) connection.close();
    const all = [...this.clients.keys()];
    for (const client of all) client.close();
    await Promise.all(all.map((client) => client.whenGone));
  }

  private serveNext(): void {
    const { maxConnections } = this.options;
    while (maxConnections === 0 || this.clients.size < maxConnections) {
      const connection = this.waiting.shift();
      if (!connection) return;
      this.serve(connection);
    }
  }

  private serve(connection: Connection): void {
    const { handshakeMaxSeconds, secure } = this.options;
    const told = { server: 'nbd', client: `${++this.clientCount}` };
    if (connectionOpen.enabled) connectionOpen.emit(told);
    const client = new NbdConnection(connection, {
      client: this.clientCount,
      clock: this.clock,
      offer: { list: () => this.exports, find: (name) => this.find(name), usesTls: secure !== undefined },
      memory: this.memory,
      handshakeMaxSeconds,
      secure,
      chosen: (target) => void this.clients.set(client, target),
    });
    this.clients.set(client, undefined);
    this.hears.came?.();
    void client.whenGone.then((reason) => {
      const left = this.clients.get(client);
      this.clients.delete(client);
      if (connectionClose.enabled) connectionClose.emit(told);
      if (reason !== undefined) {
        const context = left ? 'Disconnect client, due to' : 'option negotiation failed';
        this.console.error(`${context}: ${reason}`);
      }
      this.hears.gone?.();
      this.serveNext();
    });
    client.begin();
  }
}
