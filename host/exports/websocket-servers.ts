/**
 * Where exports are reached by WebSockets (specification: nbd, section 8): each under a path of its own, with an NBD server of its
 * own behind it. Those of one address and with the same credentials share who listens there, as long as there is one.
 */
import { BlockError, invalid } from '../base/errors.ts';
import type { BlockGraph } from '../block/graph.ts';
import type { Listener, SocketAddress } from '../platform/sockets.ts';
import type { WebSocketService } from '../platform/websockets.ts';
import { secureClients } from './server-tls.ts';

export interface WebSocketPlace {
  readonly address: SocketAddress;
  /** Begins with `/`. */
  readonly path: string;
  /** Ids of objects, as of the NBD server. */
  readonly tlsCreds?: string | undefined;
  readonly tlsAuthz?: string | undefined;
}

interface Site {
  readonly services: Map<string, WebSocketService>;
  readonly listener: Promise<Listener>;
}

export class WebSocketServers {
  /** By their addresses. */
  private readonly sites = new Map<string, Site>();

  constructor(private readonly graph: BlockGraph) {}

  /** Gives what ends it. Errors: BlockError, when somebody else is served there, or nobody can listen. */
  async serve(place: WebSocketPlace, service: WebSocketService): Promise<() => Promise<void>> {
    const { path, ...shared } = place;
    const key = JSON.stringify([shared.address, shared.tlsCreds, shared.tlsAuthz]);
    const site = this.sites.get(key) ?? this.listen(shared);
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

  private listen({ address, tlsCreds, tlsAuthz }: Omit<WebSocketPlace, 'path'>): Site {
    const { webSockets } = this.graph.platform;
    if (!webSockets?.listen)
      throw new BlockError('ENOTSUP', 'There are no WebSockets here that a server could listen for');
    const secure = secureClients(this.graph, tlsCreds, tlsAuthz);
    const services = new Map<string, WebSocketService>();
    return { services, listener: webSockets.listen(address, (path) => services.get(path), secure) };
  }
}
