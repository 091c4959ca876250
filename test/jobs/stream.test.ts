/** The stream job on its own: what it copies, what it holds meanwhile, and how errors, pauses and cancels end. */
import { describe, expect, test } from 'vitest';
import type { BlockBackend } from '../../host/block/backend.ts';
import type { BlockNode } from '../../host/block/node.ts';
import { blockStatus } from '../../host/block/status.ts';
import type { Job } from '../../host/jobs/job.ts';
import { type StreamParams, startStream } from '../../host/jobs/stream/stream.ts';
import { type Chain, chain, kib, mib } from './image-chain.ts';

function stream({ world, nodes }: Chain, more: Partial<StreamParams> = {}): Promise<Job> {
  return startStream(world.graph, world.jobs, {
    id: 'j',
    node: nodes[3]!,
    base: undefined,
    bottom: undefined,
    backingFile: undefined,
    onError: 'report',
    speed: undefined,
    filterNodeName: undefined,
    autoFinalize: undefined,
    autoDismiss: undefined,
    ...more,
  });
}

async function allocated(node: BlockNode): Promise<number> {
  let total = 0;
  for (let at = 0; at < node.length; ) {
    const found = await blockStatus(node, at, node.length - at);
    if (found.allocated) total += found.bytes;
    at += found.bytes;
  }
  return total;
}

const read = async (guest: BlockBackend, offset: number): Promise<number> => {
  const buffer = new Uint8Array(512);
  await guest.read(offset, buffer);
  return buffer[0]!; // as long as it is
};

const end = (more: object): string =>
  `BLOCK_JOB_COMPLETED ${JSON.stringify({ type: 'stream', device: 'j', len: 4 * mib, offset: 4 * mib, speed: 0, ...more })}`;

describe('a stream', () => {
  test('copies all that lies below, and the chain is over', async () => {
    const scene = await chain();
    const { world, nodes, guest } = scene;
    const job = await stream(scene);
    await world.platform.advance(1e9);
    expect(world.take()).toEqual([
      ...['created', 'running', 'waiting', 'pending'].map((status) => `S j ${status}`),
      end({}),
      ...['concluded', 'null'].map((status) => `S j ${status}`),
    ]);
    expect(job.error).toBeUndefined();
    expect(nodes[3]!.backing()).toBeUndefined();
    expect(await allocated(nodes[3]!)).toBe(mib + 64 * kib);
    expect([await read(guest, 0), await read(guest, mib - 512), await read(guest, 2 * mib)]).toEqual([
      1, 2, 3,
    ]);
    expect([...nodes[3]!.parents].map(({ name }) => name)).toEqual(['root']);
  });

  test('leaves what is in the base where it is', async () => {
    const scene = await chain();
    const { world, nodes } = scene;
    await stream(scene, { base: nodes[0] });
    await world.platform.advance(1e9);
    expect(nodes[3]!.backing()).toBe(nodes[0]);
    expect(await allocated(nodes[3]!)).toBe(512 * kib + 64 * kib);
  });

  test('names the base in the image as it was told', async () => {
    const scene = await chain();
    const { world, nodes } = scene;
    await stream(scene, { base: nodes[1], backingFile: 'elsewhere' });
    await world.platform.advance(1e9);
    expect(nodes[3]!.driver.backing).toEqual({ filename: 'elsewhere', format: 'qcow2' });
  });

  test('keeps what guests write meanwhile', async () => {
    const scene = await chain();
    const { world, guest } = scene;
    await stream(scene, { speed: 512 * kib });
    await guest.write(0, new Uint8Array(512).fill(9));
    await guest.write(768 * kib, new Uint8Array(512).fill(9));
    await world.platform.advance(60e9);
    expect(world.jobs.list()).toEqual([]);
    expect([await read(guest, 0), await read(guest, 512), await read(guest, 768 * kib)]).toEqual([9, 1, 9]);
  });

  test('goes no faster than it may', async () => {
    const scene = await chain();
    const { world } = scene;
    const job = await stream(scene, { speed: mib });
    await world.platform.advance(100e6);
    expect(job.progress.current).toBe(512 * kib);
    await world.platform.advance(500e6);
    expect(job.progress.current).toBe(mib);
    job.setSpeed(0);
    await world.platform.advance(0);
    expect(world.jobs.list()).toEqual([]);
  });

  test('stands still while it is paused, and comes to a stop at once when it sleeps', async () => {
    const scene = await chain();
    const { world, nodes } = scene;
    const job = await stream(scene, { speed: 64 * kib });
    await world.platform.settle();
    job.pause();
    await world.platform.settle();
    expect(job.status).toBe('paused');
    await world.platform.advance(3600e9);
    expect(job.progress.current).toBe(512 * kib);
    job.setSpeed(0);
    job.resume();
    await world.platform.settle();
    expect(nodes[3]!.backing()).toBeUndefined();
  });

  test('lets a drained section begin without waiting for its next chunk', async () => {
    const scene = await chain();
    const { nodes } = scene;
    const job = await stream(scene, { speed: 1 });
    for (let turns = 0; turns < 8; turns++) {
      await nodes[turns % 4]!.drainBegin();
      expect(job.status).toBe('paused');
      nodes[turns % 4]!.drainEnd();
    }
    await job.cancel(true);
  });

  test('leaves the chain as it is when it is cancelled', async () => {
    const scene = await chain();
    const { world, nodes, guest } = scene;
    const job = await stream(scene, { speed: 64 * kib });
    await world.platform.settle();
    await job.cancel(false);
    expect(job.error?.message).toBe('Operation canceled');
    expect(world.events.at(-3)).toMatch(/^BLOCK_JOB_CANCELLED .*"offset":524288/);
    expect(nodes.map((node) => node.backing()?.name)).toEqual([undefined, 'n0', 'n1', 'n2']);
    expect(guest.node).toBe(nodes[3]);
    await world.graph.setBacking(nodes[3]!, nodes[0]);
  });

  test('freezes the links through which it reads', async () => {
    const scene = await chain();
    const { world, nodes } = scene;
    const job = await stream(scene, { speed: 1, base: nodes[1] });
    await expect(world.graph.setBacking(nodes[3]!, nodes[0])).rejects.toThrow(
      "Cannot change frozen 'backing' link from 'n3' to 'n2'",
    );
    // Below the lowest layer that is read the chain may change.
    await world.graph.setBacking(nodes[2]!, nodes[0]);
    job.setSpeed(0);
    await world.platform.advance(1e9);
    expect(nodes[3]!.backing()).toBe(nodes[0]);
  });

  test('opens a read-only node for writing as long as it lasts', async () => {
    const scene = await chain();
    const { world, nodes, guest } = scene;
    await guest.close();
    await world.graph.setReadOnly(nodes[3]!, true);
    const job = await stream(scene, { speed: 1 });
    expect(nodes[3]!.readOnly).toBe(false);
    await job.cancel(true);
    expect(nodes[3]!.readOnly).toBe(true);
    await stream(scene);
    await world.platform.advance(1e9);
    expect(nodes[3]!.readOnly).toBe(true);
    expect(nodes[3]!.backing()).toBeUndefined();
  });

  test('has nothing to do for an image without a backing file', async () => {
    const scene = await chain();
    const { world, nodes } = scene;
    await stream(scene, { node: nodes[0]! });
    expect(world.take()).toContain(end({ len: 0, offset: 0 }));
  });

  test('leaves nothing behind when it cannot begin', async () => {
    const scene = await chain();
    const { world, nodes } = scene;
    await expect(stream(scene, { id: '1x' })).rejects.toThrow("Invalid job ID '1x'");
    await expect(stream(scene, { speed: -1 })).rejects.toThrow(
      "Parameter 'speed' expects a non-negative value",
    );
    await expect(stream(scene, { filterNodeName: 'n0' })).rejects.toThrow(
      "Could not create node: Duplicate nodes with node-name='n0'",
    );
    expect(world.graph.nodes().length).toBe(8);
    expect(world.jobs.list()).toEqual([]);
    for (const node of nodes) await world.graph.setBacking(node, undefined);
  });
});

describe('an error of a stream', () => {
  const error = (action: string): string =>
    `BLOCK_JOB_ERROR ${JSON.stringify({ device: 'j', operation: 'read', action })}`;

  test('that is reported ends it', async () => {
    const scene = await chain();
    const { world, nodes, disks } = scene;
    disks[1]!.failNext = { op: 'read', errno: 'EIO' };
    await stream(scene);
    await world.platform.advance(1e9);
    expect(world.take()).toEqual([
      'S j created',
      'S j running',
      error('report'),
      'S j aborting',
      end({ offset: 512 * kib, error: 'Input/output error' }),
      'S j concluded',
      'S j null',
    ]);
    expect(nodes[3]!.backing()).toBe(nodes[2]);
  });

  test('that is ignored lets it go on, but fails it in the end', async () => {
    const scene = await chain();
    const { world, nodes, disks } = scene;
    disks[1]!.failNext = { op: 'read', errno: 'EIO' };
    await stream(scene, { onError: 'ignore' });
    await world.platform.advance(1e9);
    const events = world.take();
    expect(events).toContain(error('ignore'));
    expect(events).toContain(end({ error: 'Input/output error' }));
    expect(nodes[3]!.backing()).toBe(nodes[2]);
    expect(await allocated(nodes[3]!)).toBe(512 * kib + 64 * kib);
  });

  test.each([
    ['stop', 'EIO', 'failed'],
    ['stop', 'ENOSPC', 'nospace'],
    ['enospc', 'ENOSPC', 'nospace'],
  ] as const)(
    'with %s and %s stops it, and it tries again when it is resumed',
    async (onError, errno, io) => {
      const scene = await chain();
      const { world, nodes, disks } = scene;
      disks[3]!.failNext = { op: 'write', errno };
      const job = await stream(scene, { onError });
      await world.platform.advance(1e9);
      expect(world.take()).toEqual(['S j created', 'S j running', error('stop'), 'S j paused']);
      expect(job.ioStatus).toBe(io);
      job.resume();
      expect(job.ioStatus).toBe('ok');
      await world.platform.advance(1e9);
      expect(job.error).toBeUndefined();
      expect(nodes[3]!.backing()).toBeUndefined();
    },
  );

  test('that is not the lack of space is reported with enospc', async () => {
    const scene = await chain();
    scene.disks[1]!.failNext = { op: 'read', errno: 'EIO' };
    const job = await stream(scene, { onError: 'enospc' });
    await scene.world.platform.advance(1e9);
    expect(job.error?.message).toBe('Input/output error');
  });

  test('of the header leaves the chain as it was', async () => {
    const scene = await chain();
    const { world, nodes, disks, guest } = scene;
    const job = await stream(scene, { autoFinalize: false });
    await world.platform.advance(1e9);
    disks[3]!.failNext = { op: 'write', errno: 'EIO' };
    await job.finalize();
    expect(job.error?.message).toBe('Input/output error');
    expect(nodes[3]!.backing()).toBe(nodes[2]);
    expect(await read(guest, 0)).toBe(1);
  });
});
