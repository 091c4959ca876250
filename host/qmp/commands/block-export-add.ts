/**
 * block-export-add: lets others use a node, by NBD (specification: nbd, section 4) or, beyond QEMU, by NBD over a WebSocket
 * (section 8). Other kinds are refused.
 */
import { invalid } from '../../base/errors.ts';
import type { BlockGraph } from '../../block/graph.ts';
import { exportsOf, type WebSocketExport } from '../../exports/block-exports.ts';
import { defaultHandshakeMaxSeconds, defaultMaxConnections } from '../../exports/nbd-server.ts';
import { readSocketAddress, socketAddress } from '../../qapi/socket-address.ts';
import {
  array,
  bool,
  extend,
  optional,
  type StructType,
  str,
  struct,
  type TypeOf,
  type UnionType,
  uint32,
} from '../../qapi/types.ts';
import { bitmapOrName } from '../actions/bitmap-data.ts';
import { blockExportType } from '../block-export-type.ts';
import { defineCommand } from '../command.ts';

const base = struct('BlockExportOptionsBase', {
  type: blockExportType,
  id: str,
  'fixed-iothread': optional(bool),
  iothread: optional(str),
  'node-name': str,
  writable: optional(bool),
  writethrough: optional(bool),
  'allow-inactive': optional(bool),
});

const nbd = struct('BlockExportOptionsNbd', {
  name: optional(str),
  description: optional(str),
  bitmaps: optional(array(bitmapOrName)),
  'allocation-depth': optional(bool),
});

const nbdWs = extend(
  'BlockExportOptionsNbdWs',
  nbd,
  struct('BlockExportOptionsNbdWsOwn', {
    addr: socketAddress,
    path: optional(str),
    origins: optional(array(str)),
    'max-connections': optional(uint32),
    'handshake-max-seconds': optional(uint32),
    'tls-creds': optional(str),
    'tls-authz': optional(str),
  }),
);

/** Members of these are not looked at. */
const notServed = (name: string): StructType => ({ ...struct(name, {}), isOpen: true });

type Options = TypeOf<typeof base> & Partial<TypeOf<typeof nbdWs>>;

export const blockExportOptions: UnionType<Options> = {
  kind: 'union',
  name: 'BlockExportOptions',
  base,
  discriminator: 'type',
  branches: () => ({
    nbd,
    'vhost-user-blk': notServed('BlockExportOptionsVhostUserBlk'),
    fuse: notServed('BlockExportOptionsFuse'),
    'vduse-blk': notServed('BlockExportOptionsVduseBlk'),
    'nbd-ws': nbdWs,
  }),
};

/** Errors: BlockError, in QEMU's words; nothing has changed then. */
export async function addExport(graph: BlockGraph, options: Options): Promise<void> {
  const { id, type, 'node-name': nodeName, writable = false, writethrough = false } = options;
  const all = exportsOf(graph);
  all.checkId(id);
  if (type !== 'nbd' && type !== 'nbd-ws') throw invalid(`Block export type '${type}' is not supported`);
  const node = graph.findNode(nodeName);
  if (!node) throw invalid(`Cannot find device='' nor node-name='${nodeName}'`);
  const webSocket = type === 'nbd-ws' ? readWebSocketExport(options) : undefined;
  await all.add({
    id,
    node,
    writable,
    writethrough,
    webSocket,
    // Who is alone on a server needs none.
    name: options.name ?? (webSocket ? '' : undefined),
    description: options.description,
    bitmaps: options.bitmaps,
    allocationDepth: options['allocation-depth'],
  });
}

function readWebSocketExport({ addr, path = '/', origins = [], ...limits }: Options): WebSocketExport {
  if (!isPath(path)) throw invalid("Parameter 'path' expects a path of a URL, such as '/disk'");
  const wrong = origins.find((origin) => origin !== '*' && !isOrigin(origin));
  if (wrong !== undefined)
    throw invalid(
      `'${wrong}' is not an origin`,
      "Origins are such as 'https://example.org', without a path, or '*'",
    );
  return {
    address: readSocketAddress(addr!), // the check saw to it that it is there
    path,
    origins,
    tlsCreds: limits['tls-creds'],
    tlsAuthz: limits['tls-authz'],
    limits: {
      maxConnections: limits['max-connections'] ?? defaultMaxConnections,
      handshakeMaxSeconds: limits['handshake-max-seconds'] ?? defaultHandshakeMaxSeconds,
    },
  };
}

function isPath(text: string): boolean {
  const url = `ws://host${text}`;
  return text.startsWith('/') && URL.canParse(url) && new URL(url).pathname === text;
}

function isOrigin(text: string): boolean {
  return URL.canParse(text) && new URL(text).origin === text;
}

export const blockExportAdd = defineCommand({
  name: 'block-export-add',
  args: blockExportOptions,
  async run({ graph }, options) {
    await addExport(graph, options);
    return {};
  },
});
