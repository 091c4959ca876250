/** An export of a node over a WebSocket, under `/disk` of a port of the loopback interface. */
import type { BlockNode } from '../../host/block/node.ts';
import { exportsOf } from '../../host/exports/block-exports.ts';

interface Reach {
  readonly port: number;
  /** Whose pages may connect. */
  readonly origins?: readonly string[];
  readonly writable?: boolean;
}

export function exportOverWebSocket(
  node: BlockNode,
  { port, origins = [], writable = true }: Reach,
): Promise<void> {
  return exportsOf(node.graph).add({
    id: 'e',
    node,
    writable,
    writethrough: false,
    name: '',
    webSocket: {
      address: { type: 'inet', host: '127.0.0.1', port: String(port) },
      path: '/disk',
      origins,
      limits: { maxConnections: 0, handshakeMaxSeconds: 10 },
    },
  });
}
