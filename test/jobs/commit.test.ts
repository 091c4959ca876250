/** The intermediate commit on its own: what it copies, what it holds, and how errors, pauses and cancels end. */
import { describe, expect, test } from 'vitest';
import type { BlockNode } from '../../host/block/node.ts';
import { type CommitParams, startCommit } from '../../host/jobs/commit/commit.ts';
import type { Job } from '../../host/jobs/job.ts';
import { type Chain, chain, kib, mib } from './image-chain.ts';
import type { World } from './world.ts';

function commit({ world, nodes }: Chain, more: Partial<CommitParams> = {}): Promise<Job> {
  return startCommit(world.graph, world.jobs, {
    id: 'j',
    device: nodes[3]!,
    top: nodes[2]!,
    base: nodes[0]!,
    backingFile: undefined,
    onError: 'report',
    speed: undefined,
    filterNodeName: undefined,
    autoFinalize: undefined,
    autoDismiss: undefined,
    ...more,
  });
}

async function read(world: World, node: BlockNode, offset: number): Promise<number> {
  const user = await world.guest(node);
  const buffer = new Uint8Array(512);
  await user.read(offset, buffer);
  await user.close();
  return buffer[0]!; // as long as it is
}

const spots = [0, mib - 512, 2 * mib];
const at = (world: World, node: BlockNode): Promise<number[]> =>
  Promise.all(spots.map((offset) => read(world, node, offset)));
const backings = ({ nodes }: Chain): (string | undefined)[] => nodes.map((node) => node.backing()?.name);
const untouched = [undefined, 'n0', 'n1', 'n2'];

const end = (more: object): string =>
  `BLOCK_JOB_COMPLETED ${JSON.stringify({ type: 'commit', device: 'j', len: 4 * mib, offset: 4 * mib, speed: 0, ...more })}`;
const error = (operation: string, action: string): string =>
  `BLOCK_JOB_ERROR ${JSON.stringify({ device: 'j', operation, action })}`;

describe('an intermediate commit', () => {
  test('brings the layers down, and the overlay stands on the base', async () => {
    const scene = await chain();
    const { world, nodes } = scene;
    await commit(scene);
    await world.platform.advance(1e9);
    expect(world.take()).toEqual([
      ...['created', 'running', 'waiting', 'pending'].map((status) => `S j ${status}`),
      end({}),
      ...['concluded', 'null'].map((status) => `S j ${status}`),
    ]);
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

  test('leaves the chain as it is when it is cancelled', async () => {
    const scene = await chain();
    const { world, nodes } = scene;
    const job = await commit(scene, { speed: 64 * kib });
    await world.platform.settle();
    await job.cancel(false);
    expect(world.events.at(-3)).toMatch(/^BLOCK_JOB_CANCELLED /);
    expect(backings(scene)).toEqual(untouched);
    expect(await at(world, nodes[3]!)).toEqual([1, 2, 3]);
    await world.graph.setBacking(nodes[3]!, nodes[1]);
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

  test('lets a drained section begin without waiting for its next chunk', async () => {
    const scene = await chain();
    const { nodes } = scene;
    const job = await commit(scene, { speed: 1 });
    for (let turns = 0; turns < 8; turns++) {
      await nodes[turns % 4]!.drainBegin();
      expect(job.status).toBe('paused');
      nodes[turns % 4]!.drainEnd();
    }
    await job.cancel(true);
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
      error(operation, 'report'),
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
    expect(events).toContain(error('write', 'ignore'));
    expect(events).toContain(end({}));
    expect(await at(world, nodes[0]!)).toEqual([1, 2, 3]);
  });

  test.each([
    ['stop', 'EIO', 'failed'],
    ['enospc', 'ENOSPC', 'nospace'],
  ] as const)(
    'with %s and %s stops it, and it tries again when it is resumed',
    async (onError, errno, io) => {
      const scene = await chain();
      const { world, nodes, disks } = scene;
      disks[0]!.failNext = { op: 'write', errno };
      const job = await commit(scene, { onError });
      await world.platform.advance(1e9);
      expect(job.status).toBe('paused');
      expect(job.ioStatus).toBe(io);
      job.resume();
      await world.platform.advance(1e9);
      expect(job.error).toBeUndefined();
      expect(await at(world, nodes[0]!)).toEqual([1, 2, 3]);
    },
  );

  test('of the header leaves the chain as it was', async () => {
    const scene = await chain();
    const { world, nodes, disks } = scene;
    const job = await commit(scene, { autoFinalize: false });
    await world.platform.advance(1e9);
    disks[3]!.failNext = { op: 'write', errno: 'EIO' };
    await job.finalize();
    expect(job.error?.message).toBe('Input/output error');
    expect(backings(scene)).toEqual(untouched);
    expect(await at(world, nodes[3]!)).toEqual([1, 2, 3]);
  });
});
