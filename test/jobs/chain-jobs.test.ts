/** What stream and intermediate commit, which both work on a chain of images, do alike: drains, stops, cancels, failures. */
import { describe, expect, test } from 'vitest';
import { kib } from '../support/units.ts';
import { backings, type Chain, chain, commit, samples, stream, untouched } from './image-chain.ts';
import { errorEvent, statuses } from './world.ts';

describe.each([
  {
    kind: 'an intermediate commit',
    start: commit,
    /** The layer that it writes to, and as what an error of that counts: a stream reads, and reading writes. */
    written: 0,
    operation: 'write',
    policies: [
      ['stop', 'EIO', 'failed'],
      ['enospc', 'ENOSPC', 'nospace'],
    ],
    cancelled: /^BLOCK_JOB_CANCELLED /,
    async expectDone({ world, nodes }: Chain) {
      const base = await world.guest(nodes[0]!);
      expect(await samples(base)).toEqual([1, 2, 3]);
      await base.close();
    },
  },
  {
    kind: 'a stream',
    start: stream,
    written: 3,
    operation: 'read',
    policies: [
      ['stop', 'EIO', 'failed'],
      ['stop', 'ENOSPC', 'nospace'],
      ['enospc', 'ENOSPC', 'nospace'],
    ],
    cancelled: /^BLOCK_JOB_CANCELLED .*"offset":524288/,
    async expectDone({ nodes }: Chain) {
      expect(nodes[3]!.backing()).toBeUndefined();
    },
  },
] as const)('$kind', ({ start, written, operation, policies, cancelled, expectDone }) => {
  test('lets a drained section begin without waiting for its next chunk', async () => {
    const scene = await chain();
    const { nodes } = scene;
    const job = await start(scene, { speed: 1 });
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
    const job = await start(scene, { speed: 64 * kib });
    await world.platform.settle();
    await job.cancel(false);
    expect(job.error?.message).toBe('Operation canceled');
    expect(world.events.at(-3)).toMatch(cancelled);
    expect(backings(scene)).toEqual(untouched);
    expect(guest.node).toBe(nodes[3]);
    expect(await samples(guest)).toEqual([1, 2, 3]);
    await world.graph.setBacking(nodes[3]!, nodes[1]);
    await world.graph.setBacking(nodes[3]!, nodes[0]);
  });

  test.each(policies)(
    'stops for an error with %s and %s, and tries again when it is resumed',
    async (onError, errno, io) => {
      const scene = await chain();
      const { world, disks } = scene;
      disks[written]!.failNext = { op: 'write', errno };
      const job = await start(scene, { onError });
      await world.platform.advance(1e9);
      expect(world.take()).toEqual([
        ...statuses('j', 'created', 'running'),
        errorEvent('j', operation, 'stop'),
        ...statuses('j', 'paused'),
      ]);
      expect(job.status).toBe('paused');
      expect(job.ioStatus).toBe(io);
      job.resume();
      expect(job.ioStatus).toBe('ok');
      await world.platform.advance(1e9);
      expect(job.error).toBeUndefined();
      await expectDone(scene);
    },
  );

  test('leaves the chain as it was when the header cannot be written', async () => {
    const scene = await chain();
    const { world, disks, guest } = scene;
    const job = await start(scene, { autoFinalize: false });
    await world.platform.advance(1e9);
    disks[3]!.failNext = { op: 'write', errno: 'EIO' };
    await job.finalize();
    expect(job.error?.message).toBe('Input/output error');
    expect(backings(scene)).toEqual(untouched);
    expect(await samples(guest)).toEqual([1, 2, 3]);
  });
});
