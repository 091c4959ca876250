/**
 * The exports of a program, and the NBD server that those of NBD are reached by (specification: nbd, section 4); those over
 * WebSockets have one each (section 8).
 *
 * An export holds its node, which cannot be deleted meanwhile, and shares everything with its other users but the right to
 * change its length. It goes when it is told to and its clients have gone; then BLOCK_EXPORT_DELETED is emitted.
 */
import { AttachmentKey } from '../base/attachments.ts';
import { BlockError, invalid } from '../base/errors.ts';
import type { DirtyBitmap } from '../bitmaps/dirty-bitmap.ts';
import { bitmapsOf, findBitmap } from '../bitmaps/node-bitmaps.ts';
import { BlockBackend } from '../block/backend.ts';
import { chainFrom } from '../block/chain.ts';
import type { BlockGraph } from '../block/graph.ts';
import type { BlockNode } from '../block/node.ts';
import { Perm } from '../block/permissions.ts';
import { maxStringBytes } from '../nbd/constants.ts';
import type { Connection } from '../platform/connection.ts';
import type { SocketAddress } from '../platform/sockets.ts';
import { isIdentifier } from '../qapi/identifier.ts';
import { NbdExport } from './nbd-export.ts';
import {
  NbdServer,
  type NbdServerLimits,
  type NbdServerListener,
  type NbdServerOptions,
} from './nbd-server.ts';
import { secureClients } from './server-tls.ts';
import { type WebSocketPlace, WebSocketServers } from './websocket-servers.ts';

export interface NewServer extends NbdServerLimits {
  /** Ids of objects: what clients have to speak TLS with, and what says who of them may come. */
  readonly tlsCreds?: string | undefined;
  readonly tlsAuthz?: string | undefined;
}

/** Where an export is reached that is on no server with others. */
export interface WebSocketExport extends WebSocketPlace {
  readonly limits: NbdServerLimits;
  /** Whose pages may come: as of a `WebSocketService`. */
  readonly origins: readonly string[];
}

interface NewExport {
  readonly id: string;
  readonly node: BlockNode;
  readonly writable: boolean;
  /** Every write is durable before it is answered. */
  readonly writethrough: boolean;
  /** Absent: it is on the NBD server. */
  readonly webSocket?: WebSocketExport | undefined;
  /** Absent: the node's name. */
  readonly name?: string | undefined;
  readonly description?: string | undefined;
  readonly allocationDepth?: boolean | undefined;
  /** Of the node or one below it, or of the node that is named. */
  readonly bitmaps?: readonly (string | { readonly node: string; readonly name: string })[] | undefined;
}

interface Entry {
  readonly id: string;
  readonly target: NbdExport;
  readonly server: NbdServer;
  /** Has WebSockets accepted no more. Absent: of the NBD server. */
  endWebSocket?: () => Promise<void>;
  isShuttingDown: boolean;
}

interface ExportInfo extends Pick<Entry, 'id' | 'isShuttingDown'> {
  readonly node: BlockNode;
  readonly overWebSocket: boolean;
}

const exportsKey = new AttachmentKey((graph: BlockGraph) => new BlockExports(graph));

/** The exports of the nodes of `graph`. */
export function exportsOf(graph: BlockGraph): BlockExports {
  return graph.attachments.get(exportsKey);
}

/** Ends them all, and the server: for a program that ends. Harmless without any. */
export async function closeExports(graph: BlockGraph): Promise<void> {
  if (graph.attachments.has(exportsKey)) await exportsOf(graph).closeAll();
}

class BlockExports {
  private server: NbdServer | undefined;
  /** Oldest first. */
  private entries: Entry[] = [];
  private readonly webSockets: WebSocketServers;

  constructor(private readonly graph: BlockGraph) {
    this.webSockets = new WebSocketServers(graph);
  }

  /** Errors: BlockError, when there is one already, its credentials are none, or nobody can listen there. */
  async startServer(
    address: SocketAddress,
    { tlsCreds, tlsAuthz, ...limits }: NewServer,
    hears: NbdServerListener = {},
  ): Promise<void> {
    if (this.server) throw invalid('NBD server already running');
    const { sockets } = this.graph.platform;
    if (!sockets)
      throw new BlockError('ENOTSUP', 'There are no sockets here that an NBD server could listen on');
    const secure = secureClients(this.graph, tlsCreds, tlsAuthz);
    const server = this.createServer({ ...limits, secure }, hears);
    this.server = server;
    try {
      await server.listen(sockets, address);
    } catch (error) {
      this.server = undefined;
      throw error;
    }
  }

  /** Its exports are gone when it settles. */
  async stopServer(): Promise<void> {
    const { server } = this;
    if (!server) throw invalid('NBD server not running');
    for (const entry of this.entries.toReversed()) {
      if (entry.server === server) await this.finish(entry);
    }
    this.server = undefined;
    await server.stop();
  }

  async closeAll(): Promise<void> {
    if (this.server) await this.stopServer();
    for (const entry of this.entries.toReversed()) await this.finish(entry);
  }

  /** Newest first. */
  list(): readonly ExportInfo[] {
    return this.entries
      .map(({ id, server, target, isShuttingDown }) => {
        const overWebSocket = server !== this.server;
        return { id, node: target.backend.node, overWebSocket, isShuttingDown };
      })
      .reverse();
  }

  /** Whether there may be an export of that name. Throws QEMU's words. */
  checkId(id: string): void {
    if (!isIdentifier(id)) throw invalid('Invalid block export id');
    if (this.entries.some((entry) => entry.id === id))
      throw invalid(`Block export id '${id}' is already in use`);
  }

  /** Errors: BlockError, in QEMU's words; nothing has changed then. */
  async add(wanted: NewExport): Promise<void> {
    const { id, node, writable } = wanted;
    this.checkId(id);
    if (writable && node.readOnly) throw invalid('Cannot export read-only node as writable');
    const backend = await BlockBackend.attach(node, {
      name: 'root',
      description: '',
      perm: Perm.consistentRead | (writable ? Perm.write : 0),
      shared: Perm.all & ~Perm.resize,
    });
    backend.writethrough = wanted.writethrough;
    const { webSocket } = wanted;
    const server = webSocket ? this.createServer(webSocket.limits) : this.server;
    let target: NbdExport;
    try {
      if (!server) throw invalid('NBD server not running');
      target = this.createTarget(backend, server, wanted);
    } catch (error) {
      await backend.close();
      throw error;
    }
    const entry: Entry = { id, target, server, isShuttingDown: false };
    this.entries.push(entry);
    if (!webSocket) return;
    try {
      const { origins } = webSocket;
      const accept = (connection: Connection): void => server.accept(connection);
      entry.endWebSocket = await this.webSockets.serve(webSocket, { origins, accept });
    } catch (error) {
      this.entries = this.entries.filter((other) => other !== entry);
      await target.close();
      throw error;
    }
  }

  /**
   * `mode` safe: only if it has no clients. Without, it is gone when this settles, and with clients when the last request
   * is over. Errors: BlockError, when there is no such export, or it is in
   * use.
   */
  async remove(id: string, mode: 'safe' | 'hard'): Promise<void> {
    const entry = this.entries.find((one) => one.id === id);
    if (!entry) throw invalid(`Export '${id}' is not found`);
    if (entry.isShuttingDown) throw invalid(`Export '${id}' is already shutting down`);
    const hasClients = entry.server.clientsOf(entry.target) > 0;
    if (mode === 'safe' && hasClients)
      throw invalid(`export '${id}' still in use`, "Use mode='hard' to force client disconnect");
    const finished = this.finish(entry);
    if (!hasClients) await finished;
  }

  private createServer(options: NbdServerOptions, hears: NbdServerListener = {}): NbdServer {
    const { clock, console } = this.graph.platform;
    return new NbdServer(options, clock, console, hears);
  }

  private createTarget(backend: BlockBackend, server: NbdServer, wanted: NewExport): NbdExport {
    const { node, name = node.name, description = '', allocationDepth = false, writable } = wanted;
    if (byteLength(name) > maxStringBytes) throw invalid(`export name '${name}' too long`);
    if (byteLength(description) > maxStringBytes) throw invalid(`description '${description}' too long`);
    if (server.find(name)) throw invalid(`NBD server already has export named '${name}'`);
    const bitmaps = (wanted.bitmaps ?? []).map((bitmap) => this.findBitmap(bitmap, wanted));
    const options = { name, description, writable, allocationDepth, bitmaps };
    const target = new NbdExport(backend, options, server.options.maxConnections !== 1);
    server.exports.push(target);
    return target;
  }

  private findBitmap(
    wanted: string | { readonly node: string; readonly name: string },
    { node, writable }: NewExport,
  ): DirtyBitmap {
    const bitmap =
      typeof wanted === 'string'
        ? findBelow(node, wanted)
        : findBitmap(this.graph, wanted.node, wanted.name).bitmap;
    bitmap.check('toggle');
    if (!writable && !node.readOnly && bitmap.recording) {
      const name = bitmap.name ?? '';
      throw invalid(`Enabled bitmap '${name}' incompatible with readonly export`);
    }
    return bitmap;
  }

  private async finish(entry: Entry): Promise<void> {
    const { id, target, server } = entry;
    if (entry.isShuttingDown) return;
    entry.isShuttingDown = true;
    server.exports.splice(server.exports.indexOf(target), 1);
    await entry.endWebSocket?.();
    await server.disconnect(target);
    if (entry.endWebSocket) await server.stop();
    await target.close();
    this.entries = this.entries.filter((other) => other !== entry);
    this.graph.emit({ name: 'BLOCK_EXPORT_DELETED', data: { id } });
  }
}

/** A backup names the bitmap of the disk, which its filters are above. */
function findBelow(node: BlockNode, name: string): DirtyBitmap {
  for (const layer of chainFrom(node)) {
    const found = bitmapsOf(layer).find(name);
    if (found) return found;
  }
  throw invalid(`Bitmap '${name}' is not found`);
}

function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}
