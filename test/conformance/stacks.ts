/** One stack of nodes for every driver of the registry, and opening it. */
import { expect } from 'vitest';
import type { BlockBackend } from '../../host/block/backend.ts';
import { createImage } from '../../host/block/create.ts';
import type { CreateValues } from '../../host/block/driver.ts';
import type { BlockGraph } from '../../host/block/graph.ts';
import { objectTableOf } from '../../host/block/object-table.ts';
import { Perm } from '../../host/block/permissions.ts';
import { drivers } from '../../host/drivers.ts';
import { browserDrivers } from '../../host/drivers-browser.ts';
import { exportsOf } from '../../host/exports/block-exports.ts';
import { createGraph } from '../../host/graph.ts';
import { Blobs } from '../../host/platform/blobs.ts';
import {
  createSimulation,
  SimStorage,
  type Simulation,
  type SimulationOptions,
} from '../../host/platform/sim/index.ts';
import { unlimited } from '../../host/throttle/config.ts';
import { throttleGroupsOf } from '../../host/throttle/groups.ts';
import { mergeLimits } from '../../host/throttle/limit-names.ts';
import { copyInto, withFolder } from '../store/folder-of.ts';
import { backUp, newRepository, password } from '../store/world.ts';
import { attachAlone, readWriteResize } from '../support/attach.ts';
import { syncHashes } from '../support/sync-hashes.ts';
import { VirtualSockets } from '../support/virtual-sockets.ts';
import { WebFile } from '../support/web-file.ts';
import { type DiskTraits, diskBytes } from './checks.ts';

export interface Stack extends DiskTraits {
  /** Makes what the options refer to. */
  prepare?(graph: BlockGraph): Promise<void>;
  options: Record<string, unknown>;
  /** Always open so, but read by the same tests. */
  readOnly?: true;
  /** A failure of one child only ends the program. */
  endsOnFailure?: true;
}

const file = (filename: string): Record<string, unknown> => ({ driver: 'file', filename });
const image =
  (format: string, filename: string, values: CreateValues = {}) =>
  (graph: BlockGraph) =>
    createImage(graph, { filename, format, size: diskBytes, values, quiet: true });
const both =
  (one: ReturnType<typeof image>, other: ReturnType<typeof image>) => async (graph: BlockGraph) => {
    await one(graph);
    await other(graph);
  };

/** Block devices that every simulation has. */
const devices = { host_device: '/dev/sdb', host_cdrom: '/dev/sr0' };

/** By a server that stays, on the same storage. */
async function exportDisk(graph: BlockGraph): Promise<void> {
  await image('raw', 'disk')(graph);
  const server = createGraph({ platform: graph.platform, drivers });
  const node = await server.open({ driver: 'raw', discard: 'unmap', file: file('disk') });
  const exports = exportsOf(server);
  const limits = { maxConnections: 0, handshakeMaxSeconds: 0 };
  await exports.startServer({ type: 'unix', path: 'nbd.sock' }, limits);
  await exports.add({ id: 'e', node, writable: true, writethrough: false, name: '' });
}

/** Cannot be written to, and holds `served`. */
const onServer = { stores: true, writable: 'never', readOnly: true } as const;
/** Of web servers and pages: nothing in its first half. */
const served = new Uint8Array(diskBytes).fill(7, diskBytes / 2);

/** Of a machine whose disk is `served`. */
const { repository, store: backups } = await newRepository();
await backUp(repository, { hda: served }, { chunkBytes: 64 << 10 });

async function keepBackups(graph: BlockGraph): Promise<void> {
  await copyInto(graph.platform.files, backups, 'backups');
  keepSecret(graph);
}

function keepSecret(graph: BlockGraph): void {
  objectTableOf(graph).set('password', { secret: new TextEncoder().encode(password) });
}

/** Of Node and of pages. */
export const allDrivers = [...new Set([...drivers, ...browserDrivers])];

/** One for every driver. */
export const stacks: Readonly<Record<string, Stack>> = {
  file: { prepare: image('raw', 'disk'), options: file('disk'), stores: true },
  host_device: { options: { driver: 'host_device', filename: devices.host_device }, stores: true },
  host_cdrom: { options: { driver: 'host_cdrom', filename: devices.host_cdrom }, stores: true },
  http: { options: { driver: 'http', url: 'http://server/disk' }, ...onServer },
  https: { options: { driver: 'https', url: 'https://server/disk' }, ...onServer },
  opfs: {
    prepare: image('raw', 'disk'),
    options: { driver: 'opfs', filename: 'disk' },
    stores: true,
  },
  blob: { options: { driver: 'blob', filename: 'disk' }, ...onServer },
  memory: { options: { driver: 'memory', size: diskBytes }, stores: true },
  nbd: { prepare: exportDisk, options: { driver: 'nbd', path: 'nbd.sock' }, stores: true },
  'null-co': { options: { driver: 'null-co', size: diskBytes, 'read-zeroes': true }, stores: false },
  'null-aio': { options: { driver: 'null-aio', size: diskBytes, 'read-zeroes': true }, stores: false },
  s3: {
    prepare: async (graph) => objectTableOf(graph).set('key', { secret: new TextEncoder().encode('key') }),
    options: { driver: 's3', url: 'https+s3://server/bucket/disk', 'key-id': 'id', 'key-secret': 'key' },
    ...onServer,
  },
  store: {
    prepare: keepBackups,
    options: { driver: 'store', repository: 'backups', disk: 'm/hda', 'password-secret': 'password' },
    ...onServer,
  },
  raw: { prepare: image('raw', 'disk'), options: { driver: 'raw', file: file('disk') }, stores: true },
  qcow2: { prepare: image('qcow2', 'disk'), options: { driver: 'qcow2', file: file('disk') }, stores: true },
  luks: {
    prepare: async (graph) => {
      keepSecret(graph);
      const values = { 'key-secret': 'password', 'iter-time': 1 };
      await createImage(graph, { filename: 'disk', format: 'luks', size: diskBytes, values, quiet: true });
      // A new one reads as chance.
      const disk = await open(graph, stacks['luks']!);
      await disk.writeZeroes(0, diskBytes);
      await disk.close();
    },
    options: { driver: 'luks', 'key-secret': 'password', file: file('disk') },
    stores: true,
  },
  vmdk: { prepare: image('vmdk', 'disk'), options: { driver: 'vmdk', file: file('disk') }, stores: true },
  vdi: { prepare: image('vdi', 'disk'), options: { driver: 'vdi', file: file('disk') }, stores: true },
  vpc: {
    prepare: image('vpc', 'disk', { force_size: true }),
    options: { driver: 'vpc', file: file('disk') },
    stores: true,
  },
  'copy-before-write': {
    prepare: both(image('qcow2', 'disk'), image('raw', 'target')),
    options: {
      driver: 'copy-before-write',
      file: { driver: 'qcow2', file: file('disk') },
      target: { driver: 'raw', file: file('target') },
    },
    stores: true,
  },
  blkdebug: {
    prepare: image('raw', 'disk'),
    options: {
      driver: 'blkdebug',
      align: 512,
      'max-transfer': 65_536,
      'opt-write-zero': 4096,
      'max-write-zero': 131_072,
      image: file('disk'),
    },
    stores: true,
  },
  blkverify: {
    prepare: both(image('raw', 'disk'), image('qcow2', 'copy')),
    options: {
      driver: 'blkverify',
      test: { driver: 'qcow2', file: file('copy') },
      raw: file('disk'),
    },
    stores: true,
    endsOnFailure: true,
  },
  quorum: {
    prepare: async (graph) => {
      for (const name of ['a', 'b']) await image('raw', name)(graph);
      await image('qcow2', 'c')(graph);
    },
    options: {
      driver: 'quorum',
      'vote-threshold': 2,
      'rewrite-corrupted': true,
      children: [file('a'), { driver: 'raw', file: file('b') }, { driver: 'qcow2', file: file('c') }],
    },
    stores: true,
  },
  compress: {
    prepare: image('qcow2', 'disk'),
    options: { driver: 'compress', file: { driver: 'qcow2', file: file('disk') } },
    stores: true,
    writable: 'once',
  },
  'copy-on-read': {
    prepare: async (graph) => {
      await image('raw', 'base')(graph);
      await createImage(graph, {
        filename: 'disk',
        format: 'qcow2',
        size: diskBytes,
        quiet: true,
        backingFile: 'base',
        backingFormat: 'raw',
      });
    },
    options: { driver: 'copy-on-read', file: { driver: 'qcow2', file: file('disk') } },
    stores: true,
  },
  preallocate: {
    prepare: image('raw', 'disk'),
    options: { driver: 'preallocate', 'prealloc-size': 1 << 20, file: file('disk') },
    stores: true,
  },
  'snapshot-access': {
    prepare: both(image('raw', 'disk'), image('raw', 'target')),
    options: {
      driver: 'snapshot-access',
      file: { driver: 'copy-before-write', file: file('disk'), target: file('target') },
    },
    stores: true,
    writable: 'never',
  },
  throttle: {
    prepare: async (graph) => {
      await image('raw', 'disk')(graph);
      throttleGroupsOf(graph).add('tg', mergeLimits(unlimited, { 'iops-total': 1000 }));
    },
    options: { driver: 'throttle', 'throttle-group': 'tg', file: file('disk') },
    stores: true,
  },
};

/** As a Blob, which would answer beside the simulation. */
const servedBlob = {
  size: diskBytes,
  slice: (from: number, to: number) => ({ arrayBuffer: async () => served.slice(from, to).buffer }),
} as unknown as Blob;

/** All drivers, and what pages hand to them. */
export function makeGraph({ platform }: Simulation): BlockGraph {
  const blobs = new Blobs();
  blobs.register('disk', servedBlob);
  const whole = withFolder({ ...platform, blobs, sockets: new VirtualSockets() }, backups, 'backups');
  return createGraph({
    platform: { ...whole, hashes: { ...syncHashes, ...whole.hashes, named: syncHashes.named } },
    drivers: allDrivers,
  });
}

export function simulate(seed: number, options: SimulationOptions): Simulation {
  const storage = new SimStorage();
  storage.createDevice(devices.host_device, diskBytes);
  storage.createDevice(devices.host_cdrom, diskBytes, 'disc');
  return createSimulation(seed, { storage, ...options, fetch: new WebFile(served).fetch });
}

export async function open(graph: BlockGraph, stack: Stack): Promise<BlockBackend> {
  const node = await graph.open({
    ...stack.options,
    discard: 'unmap',
    ...(stack.readOnly && { 'read-only': true }),
  });
  const backend = await attachAlone(node, stack.readOnly ? Perm.consistentRead : readWriteResize);
  return backend;
}

/** Runs `body` on a fresh stack, and checks that closing leaves nothing open. */
export async function withStack(
  simulation: Simulation,
  stack: Stack,
  body: (disk: BlockBackend, graph: BlockGraph) => Promise<void>,
): Promise<void> {
  await simulation.run(async () => {
    const graph = makeGraph(simulation);
    await stack.prepare?.(graph);
    const disk = await open(graph, stack);
    await body(disk, graph);
    await disk.close();
    expect(graph.nodes()).toEqual([]);
  });
}
