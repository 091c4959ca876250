/** The stream job on its own: what it copies, what it holds meanwhile, and how errors, pauses and cancels end. */
import { describe, expect, test } from 'vitest';
import type { BlockBackend } from '../../host/block/backend.ts';
import type { BlockNode } from '../../host/block/node.ts';
import { blockStatus } from '../../host/block/status.ts';
import { kib, mib } from '../support/units.ts';
import { chain, ended, samples, stream, success } from './image-chain.ts';
import { errorEvent, statuses } from './world.ts';

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

describe('a stream', () => {
  test('copies all that lies below, and the chain is over', async () => {
    const scene = await chain();
    const { world, nodes, guest } = scene;
    const job = await stream(scene);
    await world.platform.advance(1e9);
    expect(world.take()).toEqual(success('stream'));
    expect(job.error).toBeUndefined();
    expect(nodes[3]!.backing()).toBeUndefined();
    expect(await allocated(nodes[3]!)).toBe(mib + 64 * kib);
    expect(await samples(guest)).toEqual([1, 2, 3]);
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
    expect(world.take()).toContain(ended('stream', { len: 0 }));
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
  test('that is reported ends it', async () => {
    const scene = await chain();
    const { world, nodes, disks } = scene;
    disks[1]!.failNext = { op: 'read', errno: 'EIO' };
    await stream(scene);
    await world.platform.advance(1e9);
    expect(world.take()).toEqual([
      ...statuses('j', 'created', 'running'),
      errorEvent('j', 'read', 'report'),
      'S j aborting',
      ended('stream', { offset: 512 * kib, error: 'Input/output error' }),
      ...statuses('j', 'concluded', 'null'),
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
    expect(events).toContain(errorEvent('j', 'read', 'ignore'));
    expect(events).toContain(ended('stream', { error: 'Input/output error' }));
    expect(nodes[3]!.backing()).toBe(nodes[2]);
    expect(await allocated(nodes[3]!)).toBe(512 * kib + 64 * kib);
  });

  test('that is not the lack of space is reported with enospc', async () => {
    const scene = await chain();
    scene.disks[1]!.failNext = { op: 'read', errno: 'EIO' };
    const job = await stream(scene, { onError: 'enospc' });
    await scene.world.platform.advance(1e9);
    expect(job.error?.message).toBe('Input/output error');
  });
});
