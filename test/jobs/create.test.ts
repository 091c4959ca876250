/** The create job: what it makes, what fails it, and what can be done to it meanwhile. */
import { describe, expect, test } from 'vitest';
import type { BlockNode } from '../../host/block/node.ts';
import { startCreate } from '../../host/jobs/create.ts';
import type { Job } from '../../host/jobs/job.ts';
import { mib } from '../support/units.ts';
import { gate, statuses, World } from './world.ts';

async function create(world: World, options: Record<string, unknown>, id = 'j'): Promise<Job> {
  return startCreate(world.graph, world.jobs, { id, driver: world.graph.drivers.get('qcow2'), options });
}

const running = statuses('j', 'created', 'running');
const succeeded = statuses('j', 'waiting', 'pending', 'concluded');
const failed = statuses('j', 'aborting', 'concluded');

async function open(world: World, file: BlockNode): Promise<BlockNode> {
  return world.graph.open({ driver: 'qcow2', file: file.name });
}

/** A job that waits for its file until `open`. */
async function held(): Promise<{ world: World; job: Job; open(): void }> {
  const world = new World();
  const { disk } = await world.disk('f', 0);
  const { open, promise } = gate();
  disk.gate = promise;
  return { world, job: await create(world, { file: 'f', size: mib }), open };
}

describe('a create job', () => {
  test('makes an image in a node and stays to be dismissed', async () => {
    const world = new World();
    const { node } = await world.disk('f', 0);
    const job = await create(world, { file: 'f', size: mib });
    expect(world.take()).toEqual(running);
    await job.whenEnded();
    await job.reaction();
    expect(world.take()).toEqual(succeeded);
    expect(job.error).toBeUndefined();
    expect(job.progress).toMatchObject({ current: 1, total: 1 });
    expect((await open(world, node)).length).toBe(mib);
    job.dismiss();
    expect(world.take()).toEqual(['S j null']);
    expect(world.jobs.list()).toEqual([]);
  });

  test('leaves nothing visible of what was in the node', async () => {
    const world = new World();
    const { node } = await world.disk('f', mib, 0xff);
    const job = await create(world, { file: 'f', size: mib, preallocation: 'metadata' });
    await job.whenEnded();
    const found = new Uint8Array(mib).fill(1);
    const guest = await world.guest(await open(world, node));
    await guest.read(0, found);
    expect(found.every((byte) => byte === 0)).toBe(true);
  });

  test('fails after its command is answered when the options are wrong', async () => {
    const world = new World();
    const { disk } = await world.disk('f', 4096, 7);
    const job = await create(world, { file: 'f', size: 1000 });
    expect(world.take()).toEqual(running);
    await job.whenEnded();
    await job.reaction();
    expect(world.take()).toEqual(failed);
    expect(job.error?.message).toBe('Image size must be a multiple of 512 bytes');
    expect(disk.bytes.every((byte) => byte === 7)).toBe(true);
  });

  test('gives the node back when it has failed', async () => {
    const world = new World();
    const { node, disk } = await world.disk('f', 0);
    disk.failNext = { op: 'truncate', errno: 'ENOSPC' };
    const job = await create(world, { file: 'f', size: mib });
    await job.whenEnded();
    await job.reaction();
    expect(job.error?.message).toBe('No space left on device');
    expect(node.parents.size).toBe(0);
    expect(node.references).toBe(1);
    expect(world.take()).toEqual([...running, ...failed]);
  });

  test('ends as cancelled when it was cancelled while it worked', async () => {
    const { world, job, open } = await held();
    await job.cancel(true);
    expect(job.status).toBe('running');
    open();
    await job.whenEnded();
    await job.reaction();
    expect(job.error?.message).toBe('Operation canceled');
    expect(world.take()).toEqual([...running, ...failed]);
  });

  test('goes on while it is paused, as there is no place to hold it', async () => {
    const { world, job, open } = await held();
    job.pause();
    open();
    await job.whenEnded();
    await job.reaction();
    expect(world.take()).toEqual([...running, ...succeeded]);
  });

  test('keeps its id until it is dismissed', async () => {
    const world = new World();
    await world.disk('f', 0);
    const job = await create(world, { file: 'f', size: mib });
    await job.whenEnded();
    await job.reaction();
    await expect(create(world, { file: 'f', size: mib })).rejects.toThrow("Job ID 'j' already in use");
  });

  test.each([
    [{ 'data-file': 'f' }, 'data-file'],
    [{ 'extended-l2': true }, 'extended_l2'],
  ])('refuses %j by name before its command is answered', async (options, name) => {
    const world = new World();
    await world.disk('f', 0);
    const job = await create(world, { file: 'f', size: mib, ...options });
    expect(world.take()).toEqual([...running, ...failed]);
    expect(job.error?.message).toBe(`Parameter '${name}' is not supported`);
  });
});
