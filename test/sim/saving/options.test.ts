/** What users say about the buffer of a copy, and what they are told of it. */
import { describe, expect, test } from 'vitest';
import type { Job } from '../../../host/jobs/job.ts';
import { createSimulation } from '../../../host/platform/sim/index.ts';
import { Seeded } from '../../support/seeded.ts';
import { kib, mib } from '../../support/units.ts';
import { diskBytes, SavingWorld } from './world.ts';

/** A raw disk, and a target that takes a sixteenth of it in a second. */
async function withWorld(body: (world: SavingWorld) => Promise<void>): Promise<void> {
  const simulation = createSimulation(1, { record: false });
  await simulation.run(async () => {
    const world = new SavingWorld(simulation, new Seeded(1));
    await world.openDisk('raw');
    await world.addTarget('target', 'qcow2', diskBytes / 16);
    await body(world);
    await world.close();
  });
}

async function backUp(world: SavingWorld, options: object): Promise<Job> {
  await world.execute('blockdev-backup', {
    'job-id': 'job',
    device: 'disk',
    target: 'target',
    'filter-node-name': 'filter',
    sync: 'none',
    'auto-dismiss': false,
    ...options,
  });
  return world.server.jobs.get('job');
}

describe('the options of the buffer', () => {
  test.each([
    [{ 'x-cbw-spill-max': mib }, 'x-cbw-spill-max needs x-cbw-spill'],
    [{ 'x-cbw-buffer': 0, 'x-cbw-spill': 'auto' }, 'x-cbw-spill needs an x-cbw-buffer of more than 0'],
    [{ 'x-cbw-buffer': 0, 'x-cbw-policy': 'cancel' }, 'x-cbw-policy needs an x-cbw-buffer of more than 0'],
    [{ 'x-cbw-buffer': 2 ** 40 }, `x-cbw-buffer too large: ${2 ** 40} > ${2 ** 36}`],
    [{ 'x-cbw-spill': '/disk' }, "Could not create spill file '/disk': File exists"],
  ])('%j is refused, and nothing is left behind', async (options, message) => {
    await withWorld(async (world) => {
      await expect(backUp(world, options)).rejects.toThrow(message);
      expect(world.server.jobs.list()).toEqual([]);
      expect(world.server.graph.findNode('filter')).toBeUndefined();
    });
  });

  test('a target that shows the source has no buffer', async () => {
    await withWorld(async (world) => {
      const args = { device: 'disk', target: '/fleece', format: 'qcow2', sync: 'none', 'job-id': 'job' };
      await expect(world.execute('drive-backup', { ...args, 'x-cbw-buffer': mib })).rejects.toThrow(
        'x-cbw-buffer must be 0 where readers of the target see the source through it',
      );
    });
  });
});

describe('a guest that finds the buffer full', () => {
  for (const [policy, error] of [
    ['break-snapshot', "The buffer for what guests' writes overwrite is full"],
    ['cancel', 'Operation canceled'],
  ] as const) {
    test(`goes on with ${policy}, and the job is over`, async () => {
      await withWorld(async (world) => {
        const job = await backUp(world, { 'x-cbw-buffer': 20 * kib, 'x-cbw-policy': policy });
        world.startGuests(3);
        await world.wait(20e6);
        await world.stopGuests();
        await world.wait(20e9);
        expect([job.status, job.error?.message]).toEqual(['concluded', error]);
        expect(world.events).toContain('X_CBW_BUFFER_NEARLY_FULL');
        expect(world.failedWrites).toBe(0);
      });
    });
  }

  test.each([
    { policy: 'break-snapshot', whilePaused: 'paused' },
    { policy: 'cancel', whilePaused: 'concluded' },
  ])('goes on with $policy while the job is paused, which is $whilePaused then', async (one) => {
    await withWorld(async (world) => {
      const job = await backUp(world, { 'x-cbw-buffer': 20 * kib, 'x-cbw-policy': one.policy });
      job.pause();
      await world.wait(1e9);
      expect(job.status).toBe('paused');
      world.startGuests(3);
      await world.wait(20e6);
      await world.stopGuests();
      await world.wait(20e9);
      expect([job.status, world.failedWrites]).toEqual([one.whilePaused, 0]);
      // It was told to stand still, and is told to fail as soon as it may go on.
      if (job.status === 'paused') job.resume();
      await world.wait(20e9);
      expect(job.status).toBe('concluded');
      expect(job.error).toBeDefined();
    });
  });

  test('waits otherwise, and queries tell how long', async () => {
    await withWorld(async (world) => {
      await backUp(world, { 'x-cbw-buffer': 20 * kib, 'x-cbw-spill': '/spill', 'x-cbw-spill-max': 40 * kib });
      world.startGuests(3);
      await world.wait(2e9);
      await world.stopGuests();
      const [info] = await world.execute<{ 'x-cbw': Record<string, number> }[]>('query-block-jobs');
      const [all] = await world.execute<object[]>('x-query-cbw');
      const told = info!['x-cbw'];
      expect(all).toMatchObject({ 'node-name': 'filter', job: 'job', 'wait-max-ns': told['wait-max-ns'] });
      expect(told['wait-max-ns']).toBeGreaterThan(10e6);
      expect(told['wait-p50-ns']).toBeLessThanOrEqual(told['wait-p99-ns']!);
      expect(told).toMatchObject({ fill: { 'buffer-size': 20 * kib, 'spill-size': 40 * kib } });
      const line = { 'command-line': 'info block-jobs' };
      const text = await world.execute<string>('human-monitor-command', line);
      expect(text.replaceAll('\r', '')).toMatch(
        /^Type backup, .*\n {4}Old data: +\d+ of 20480 bytes in memory, \d+ of 40960 bytes in the spill file\n {4}Guest's waits: +\d+, median [\d.]+ ms, 99 % [\d.]+ ms, longest [\d.]+ ms\n$/,
      );
    });
  });

  test('nobody is told of a buffer that nobody asked for', async () => {
    await withWorld(async (world) => {
      await backUp(world, {});
      const [info] = await world.execute<object[]>('query-block-jobs');
      expect(info).not.toHaveProperty('x-cbw');
      const [all] = await world.execute<object[]>('x-query-cbw');
      expect(all).toMatchObject({ fill: { 'buffer-size': 64 * mib, 'spill-size': 0 } });
    });
  });
});
