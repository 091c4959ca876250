/** Jobs that ignore errors of a target that fails at once, and always: they go on trying, and leave everybody else their time. */
import { describe, expect, test } from 'vitest';
import { BlockError } from '../../host/base/errors.ts';
import type { Job } from '../../host/jobs/job.ts';
import { mib } from '../support/units.ts';
import { chain, commit } from './image-chain.ts';
import { World } from './world.ts';

const fails = (): Promise<never> => Promise.reject(new BlockError('EIO'));

async function copying(start: 'backup' | 'mirror'): Promise<{ world: World; job: Job; repair: () => void }> {
  const world = new World();
  const { a, t } = await world.pair(mib);
  const write = t.disk.write.bind(t.disk);
  t.disk.write = fails;
  const job = await world[start](a.node, t.node, { 'on-target-error': 'ignore' });
  return { world, job, repair: () => void (t.disk.write = write) };
}

async function committing(): Promise<{ world: World; job: Job; repair: () => void }> {
  const scene = await chain();
  const file = scene.world.disks[0]!; // of the base
  const write = file.write.bind(file);
  file.write = fails;
  const job = await commit(scene, { onError: 'ignore' });
  return { world: scene.world, job, repair: () => void (file.write = write) };
}

describe.each([
  ['a backup', () => copying('backup')],
  ['a mirror', () => copying('mirror')],
  ['a commit', committing],
] as const)('%s', (_, begin) => {
  test('tries again at intervals, and ends when the target does not fail any more', async () => {
    const { world, job, repair } = await begin();
    await world.platform.advance(10e9);
    const errors = world.take().filter((line) => line.startsWith('BLOCK_JOB_ERROR'));
    expect(errors.length).toBeGreaterThan(50);
    expect(errors.length).toBeLessThan(300);
    repair();
    await world.platform.advance(10e9);
    expect(['ready', 'null']).toContain(job.status);
  });

  test('is cancelled at once', async () => {
    const { world, job } = await begin();
    await world.platform.advance(5e9);
    await job.cancelAnyway(true);
    await world.platform.advance(1);
    expect(job.status).toBe('null');
  });
});
