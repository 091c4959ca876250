/**
 * Where exports are reached by WebSockets (specification: nbd, section 8): each under a path of its own, with an NBD server of its
 * own behind it. Those of one address share who listens there, as long as there is one.
 */
import { BlockError, invalid } from '../base/errors.ts';
import type { Listener, SocketAddress } from '../platform/sockets.ts';
import type { WebSocketService, WebSockets } from '../platform/websockets.ts';

export interface WebSocketPlace {
  readonly address: SocketAddress;
  /** Begins with `/`. */
  readonly path: string;
}

interface Site {
  readonly services: Map<string, WebSocketService>;
  readonly listener: Promise<Listener>;
}

export class WebSocketServers {
  /** By their addresses. */
  private readonly sites = new Map<string, Site>();

  constructor(private readonly webSockets: WebSockets | undefined) {}

  /** Gives what ends it. Errors: BlockError, when somebody else is served there, or nobody can listen. */
  async serve({ address, path }: WebSocketPlace, service: WebSocketService): Promise<() => Promise<void>> {
    const key = JSON.stringify(address);
    const site = this.sites.get(key) ?? this.listen(address);
    this.sites.set(key, site);
    const { services, listener } = site;
    if (services.has(path)) throw invalid(`There is an export under path '${path}' of this address already`);
    services.set(path, service);
    const end = async (): Promise<void> => {
      services.delete(path);
      if (services.size > 0) return;
      this.sites.delete(key);
      (await listener).close();
    };
    try {
      await listener;
    } catch (error) {
      this.sites.delete(key);
      throw error;
    }
    return end;
  }

  private listen(address: SocketAddress): Site {
    const { webSockets } = this;
    if (!webSockets?.listen)
      throw new BlockError('ENOTSUP', 'There are no WebSockets here that a server could listen for');
    const services = new Map<string, WebSocketService>();
    return { services, listener: webSockets.listen(address, (path) => services.get(path)) };
  }
}
