/** The intermediate commit on its own: what it copies, what it holds, and how errors, pauses and cancels end. */
import { describe, expect, test } from 'vitest';
import type { BlockNode } from '../../host/block/node.ts';
import { mib } from '../support/units.ts';
import { backings, chain, commit, ended, samples, success, untouched } from './image-chain.ts';
import { errorEvent, type World } from './world.ts';

/** What the disk reads as at the places of `samples`. */
async function at(world: World, node: BlockNode): Promise<(number | undefined)[]> {
  const user = await world.guest(node);
  const found = await samples(user);
  await user.close();
  return found;
}

describe('an intermediate commit', () => {
  test('brings the layers down, and the overlay stands on the base', async () => {
    const scene = await chain();
    const { world, nodes } = scene;
    await commit(scene);
    await world.platform.advance(1e9);
    expect(world.take()).toEqual(success('commit'));
    expect(nodes[3]!.backing()).toBe(nodes[0]);
    expect(await at(world, nodes[0]!)).toEqual([1, 2, 3]);
    expect(await at(world, nodes[3]!)).toEqual([1, 2, 3]);
  });

  test('closes the layers that nobody else uses', async () => {
    const scene = await chain();
    const { world, nodes } = scene;
    await world.graph.unref(nodes[1]!);
    await world.graph.unref(nodes[2]!);
    await commit(scene);
    await world.platform.advance(1e9);
    expect(world.graph.nodes().map(({ name }) => name)).toEqual(['n3', 'n3-file', 'n0', 'n0-file']);
  });

  test('names the base in the overlay as it was told', async () => {
    const scene = await chain();
    await commit(scene, { backingFile: 'elsewhere' });
    await scene.world.platform.advance(1e9);
    expect(scene.nodes[3]!.driver.backing).toEqual({ filename: 'elsewhere', format: 'qcow2' });
  });

  test('makes a base longer that is too short', async () => {
    const scene = await chain({ baseBytes: 2 * mib });
    const { world, nodes } = scene;
    await commit(scene);
    await world.platform.advance(1e9);
    expect(nodes[0]!.length).toBe(4 * mib);
    expect(await at(world, nodes[0]!)).toEqual([1, 2, 3]);
  });

  test('leaves the base read-only that was so', async () => {
    const scene = await chain();
    const { world, nodes } = scene;
    await world.graph.setReadOnly(nodes[0]!, true);
    const job = await commit(scene, { speed: 1 });
    expect(nodes[0]!.readOnly).toBe(false);
    await job.cancel(true);
    expect(nodes[0]!.readOnly).toBe(true);
    await commit(scene);
    await world.platform.advance(1e9);
    expect(nodes[0]!.readOnly).toBe(true);
    expect(nodes[3]!.backing()).toBe(nodes[0]);
  });

  test('rewrites every overlay of the top', async () => {
    const scene = await chain();
    const { world, nodes } = scene;
    const other = await world.image('other', 4 * mib, nodes[2]);
    await commit(scene);
    await world.platform.advance(1e9);
    expect(other.backing()).toBe(nodes[0]);
    expect(await at(world, other)).toEqual([1, 2, 3]);
  });

  test('freezes the links between overlay and base', async () => {
    const scene = await chain();
    const { world, nodes } = scene;
    const job = await commit(scene, { speed: 1, filterNodeName: 'f' });
    await expect(world.graph.setBacking(nodes[2]!, nodes[0])).rejects.toThrow(
      "Cannot change frozen 'backing' link from 'n2' to 'n1'",
    );
    expect(nodes[3]!.backing()!.name).toBe('f');
    await job.cancel(true);
    expect(backings(scene)).toEqual(untouched);
  });

  test('leaves nothing behind when it cannot begin', async () => {
    const scene = await chain();
    const { world } = scene;
    await expect(commit(scene, { id: '1x' })).rejects.toThrow("Invalid job ID '1x'");
    await expect(commit(scene, { filterNodeName: 'n0' })).rejects.toThrow(
      "Duplicate nodes with node-name='n0'",
    );
    expect(world.graph.nodes().length).toBe(8);
    expect(world.jobs.list()).toEqual([]);
    expect(backings(scene)).toEqual(untouched);
  });
});

describe('an error of an intermediate commit', () => {
  test.each([
    ['read', 2],
    ['write', 0],
  ] as const)('of a %s that is reported ends it', async (operation, layer) => {
    const scene = await chain();
    const { world, nodes, disks } = scene;
    disks[layer]!.failNext = { op: operation, errno: 'EIO' };
    const job = await commit(scene);
    await world.platform.advance(1e9);
    expect(world.take().filter((line) => line.startsWith('BLOCK_JOB_ERROR'))).toEqual([
      errorEvent('j', operation, 'report'),
    ]);
    expect(job.error?.message).toBe('Input/output error');
    expect(backings(scene)).toEqual(untouched);
    expect(await at(world, nodes[3]!)).toEqual([1, 2, 3]);
  });

  test('that is ignored makes it try the same again', async () => {
    const scene = await chain();
    const { world, nodes, disks } = scene;
    disks[0]!.failNext = { op: 'write', errno: 'EIO' };
    await commit(scene, { onError: 'ignore' });
    await world.platform.advance(1e9);
    const events = world.take();
    expect(events).toContain(errorEvent('j', 'write', 'ignore'));
    expect(events).toContain(ended('commit'));
    expect(await at(world, nodes[0]!)).toEqual([1, 2, 3]);
  });
});
