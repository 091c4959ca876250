/** Every event that is declared happens: what is done here comes by each of their call sites. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { drivers } from '../../host/drivers.ts';
import { closeExports, exportsOf } from '../../host/exports/block-exports.ts';
import { createGraph } from '../../host/graph.ts';
import { openBlockyard } from '../../host/library/node.ts';
import { Command } from '../../host/nbd/constants.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import type { TraceRecord } from '../../host/trace/event.ts';
import { tracer } from '../../host/trace/events.ts';
import { runOwn } from '../support/own-tools.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { listen } from '../support/scripted-nbd-server.ts';

const scratch = scratchDirectory();
let tests = 0;
let records: TraceRecord[];
let detach: () => void;

beforeEach(() => {
  tests++;
  records = [];
  detach = tracer.attach((record) => records.push(record), nodePlatform.clock, ['*']);
});

afterEach(() => detach());

const path = (name: string): string => scratch(`${tests}-${name}`);

async function img(...args: string[]): Promise<void> {
  expect(await runOwn('qemu-img', args)).toMatchObject({ status: 0, stderr: '' });
}

async function io(image: string, ...commands: string[]): Promise<void> {
  const words = commands.flatMap((command) => ['-c', command]);
  expect(await runOwn('qemu-io', [...words, '--image-opts', image])).toMatchObject({ status: 0, stderr: '' });
}

/** An image to real or own clients: one writes and reads through the NBD driver. */
async function serveOverNbd(image: string): Promise<void> {
  const graph = createGraph({ platform: nodePlatform, drivers });
  const node = await graph.open({ driver: 'qcow2', file: { driver: 'file', filename: image } });
  const socket = path('nbd.sock');
  const limits = { maxConnections: 0, handshakeMaxSeconds: 10 };
  await exportsOf(graph).startServer({ type: 'unix', path: socket }, limits);
  await exportsOf(graph).add({ id: 'e', node, writable: true, writethrough: false, name: '' });
  await io(`driver=nbd,path=${socket}`, 'write 0 4k', 'read 0 4k', 'flush');
  await closeExports(graph);
  await graph.unref(node);
}

const happened = (): Set<string> => new Set(records.map(({ event }) => event));
const linesOf = (event: string): string[] =>
  records.filter((record) => record.event === event).map(({ line }) => line);

test('everything that can be watched happens', async () => {
  const disk = path('disk.qcow2');
  await img('create', '-q', '-f', 'qcow2', disk, '1M');
  const qcow2 = `driver=qcow2,discard=unmap,file.driver=file,file.filename=${disk}`;
  await io(qcow2, 'write 0 4k', 'write -z 128k 64k', 'discard 128k 64k', 'map', 'flush', 'truncate 2M');
  await io(qcow2, 'write -c 256k 64k', 'aio_write 512k 4k', 'aio_write 516k 4k', 'aio_flush', 'read 0 4k');
  await img('convert', '-C', '-O', 'qcow2', disk, path('copied.qcow2'));
  const limits = 'throttle-group,id=g,x-iops-total=100';
  const throttled = 'driver=throttle,throttle-group=g,file.driver=null-co,file.size=1M';
  // A tenth of a second's worth goes at once; all come together, however slow the machine is.
  const reads = Array.from({ length: 20 }, () => ['-c', 'aio_read 0 4k']).flat();
  await runOwn('qemu-io', ['--object', limits, ...reads, '-c', 'aio_flush', '--image-opts', throttled]);

  const servers = await listen(path('nbd.sock'), {
    commands: { [Command.read]: () => ({ last: Buffer.of() }) },
  });
  await runOwn('qemu-io', [
    '-r',
    '-f',
    'raw',
    '-c',
    'read 0 4k',
    `nbd+unix:///exp?socket=${path('nbd.sock')}`,
  ]);
  await new Promise((resolve) => servers.close(resolve));
  await serveOverNbd(disk);

  const yard = await openBlockyard();
  try {
    await yard.add({ driver: 'file', 'node-name': 'disk-file', filename: disk });
    await yard.add({ driver: 'qcow2', 'node-name': 'disk', file: 'disk-file' });
    const { disk: guest } = await yard.disk({ node: 'disk' });
    await guest.write(0, new Uint8Array(512));
    await (await yard.backup({ disks: { disk: { target: path('backup.qcow2') } } })).done;
    await expect(yard.add({ driver: 'qcow2', 'node-name': 'second', file: 'disk-file' })).rejects.toThrow();
  } finally {
    await yard.close();
  }
  expect([...happened()].sort()).toEqual(
    tracer
      .find('*')
      .map(({ name }) => name)
      .sort(),
  );
});

describe('requests', () => {
  test('are seen at every node that they come to', async () => {
    const base = path('base.img');
    const disk = path('disk.qcow2');
    await img('create', '-q', '-f', 'raw', base, '1M');
    await img('create', '-q', '-f', 'qcow2', '-b', base, '-F', 'raw', disk);
    records = [];
    const filtered = [
      'driver=copy-on-read,node-name=filter',
      `file.driver=qcow2,file.node-name=disk,file.file.driver=file,file.file.filename=${disk}`,
      'file.file.node-name=disk-file,file.backing.driver=raw,file.backing.node-name=base',
      `file.backing.file.driver=file,file.backing.file.filename=${base},file.backing.file.node-name=base-file`,
    ];
    await io(filtered.join(), 'read 0 4k');
    const reads = records.filter(({ event, args }) => event === 'block_read' && args['bytes'] !== 512);
    const seen = new Set(reads.map(({ args }) => args['node']));
    expect([...seen].sort()).toEqual(['base', 'base-file', 'disk', 'disk-file', 'filter']);
  });

  test('say what became of them', async () => {
    await io('driver=null-co,node-name=n,size=1M', 'read 0 4k', 'write -f 4k 512');
    expect(linesOf('block_read').at(-1)).toMatch(
      /^block_read node n offset 0 bytes 4096 flags none result ok us \d+$/,
    );
    expect(linesOf('block_write').at(-1)).toMatch(
      /^block_write node n offset 4096 bytes 512 flags fua result ok us \d+$/,
    );
    const failing =
      'driver=blkdebug,node-name=d,inject-error.0.event=none,image.driver=null-co,image.size=1M';
    await runOwn('qemu-io', ['-c', 'read 0 4k', '--image-opts', failing]);
    expect(linesOf('block_read').at(-1)).toMatch(/^block_read node d .* result EIO us \d+$/);
  });
});

test('an NBD server tells what it hears and says, by client', async () => {
  const image = path('disk.qcow2');
  await img('create', '-q', '-f', 'qcow2', image, '1M');
  records = [];
  await serveOverNbd(image);
  expect(linesOf('nbd_option').at(-1)).toBe('nbd_option client 1 option go bytes 8');
  expect(linesOf('nbd_option_reply').at(-1)).toBe('nbd_option_reply client 1 option go reply ack bytes 0');
  const asked = linesOf('nbd_request').filter((line) => /command (read|write) /.test(line));
  expect(asked.map((line) => line.replace(/cookie \S+/, 'cookie'))).toContain(
    'nbd_request client 1 cookie command write flags 33 offset 0 bytes 4096',
  );
  expect(linesOf('nbd_reply').length).toBeGreaterThanOrEqual(asked.length);
  expect(linesOf('connection_close')).toContain('connection_close server nbd client 1');
});
