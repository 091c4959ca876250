import { describe, expect, it } from 'vitest';
import { BlockError } from '../../host/base/errors.ts';
import { bitmapsOf } from '../../host/bitmaps/node-bitmaps.ts';
import { BlockBackend } from '../../host/block/backend.ts';
import { Perm } from '../../host/block/permissions.ts';
import { JobTransaction } from '../../host/jobs/job-transaction.ts';
import { readWrite } from '../support/attach.ts';
import { kib, mib } from '../support/units.ts';
import { errorEvent, gate, jobEvent, statuses, World } from './world.ts';

const started = statuses('j0', 'created', 'running', 'paused', 'running');

function completed(id: string, len: number, failure: { offset?: number; error?: string } = {}): string {
  return jobEvent('COMPLETED', { type: 'backup', id, len }, failure);
}

function cancelled(id: string, len: number, offset: number, speed = 0): string {
  return jobEvent('CANCELLED', { type: 'backup', id, len }, { offset, speed });
}

/** What a job says from the end of its work on. */
function ending(id: string, len: number): string[] {
  return [...statuses(id, 'waiting', 'pending'), completed(id, len), ...statuses(id, 'concluded', 'null')];
}

describe('backup', () => {
  it('copies the whole disk and leaves nothing behind', async () => {
    const world = new World();
    const a = await world.disk('a', 3 * mib + 512, 5);
    const t = await world.disk('t', 3 * mib + 512);
    await world.backup(a.node, t.node);
    await world.platform.settle();
    expect(Buffer.compare(t.disk.bytes, a.disk.bytes)).toBe(0);
    const len = 3 * mib + 64 * kib;
    expect(world.take()).toEqual([...started, ...ending('j0', len)]);
    expect(world.graph.nodes().map((node) => node.name)).toEqual(['t', 'a']);
    expect(world.jobs.list()).toEqual([]);
    expect([a.node.references, t.node.references]).toEqual([1, 1]);
  });

  it('lets go of a source that it discards, whose user lets nobody else write', async () => {
    const world = new World();
    const { a, t } = await world.pair(mib);
    const shared = Perm.all & ~Perm.write;
    const user = await BlockBackend.attach(a.node, {
      name: 'root',
      description: '',
      perm: readWrite,
      shared,
    });
    await world.backup(a.node, t.node, { 'discard-source': true });
    await world.platform.settle();
    expect(world.graph.nodes().map((node) => node.name)).toEqual(['t', 'a']);
    expect(a.node.references).toBe(2);
    await user.close();
  });

  it('keeps the moment of its start while guests write, discard and write zeroes', async () => {
    const world = new World();
    const { a, t } = await world.pair(4 * mib);
    const guest = await world.guest(a.node);
    const held = gate();
    t.disk.gate = held.promise;
    await world.backup(a.node, t.node);
    // The target takes nothing, and the guest does not notice.
    await guest.write(100 * kib, new Uint8Array(300 * kib).fill(2));
    await guest.writeZeroes(2 * mib, 64 * kib);
    await guest.write(4 * mib - 512, new Uint8Array(512).fill(3));
    expect(a.disk.bytes[100 * kib]).toBe(2);
    held.open();
    await world.platform.settle();
    expect(t.disk.bytes.every((byte) => byte === 1)).toBe(true);
    await guest.close();
    expect(world.take().at(-1)).toBe('S j0 null');
  });

  it('copies with sync=none only what guests overwrite, and ends by cancelling', async () => {
    const world = new World();
    const { a, t } = await world.pair(mib);
    const guest = await world.guest(a.node);
    const job = await world.backup(a.node, t.node, { sync: 'none' });
    await guest.write(70 * kib, new Uint8Array(512).fill(9));
    await world.platform.settle();
    expect(t.disk.bytes.subarray(64 * kib, 128 * kib).every((byte) => byte === 1)).toBe(true);
    expect(t.disk.bytes[0]).toBe(0);
    world.take();
    await job.cancel(false);
    expect(world.take()).toEqual([
      'S j0 aborting',
      cancelled('j0', mib, 64 * kib),
      ...statuses('j0', 'concluded', 'null'),
    ]);
    await guest.write(0, new Uint8Array(512).fill(9));
    expect(t.disk.bytes[0]).toBe(0);
  });

  for (const [where, withFilter] of [
    ['over the source', false],
    ['over the source, below a filter', true],
  ] as const) {
    it(`makes a guest wait until the old data is on a target ${where}`, async () => {
      const world = new World();
      const a = await world.disk('a', mib, 1);
      const overlay = await world.image('t', mib, a.node);
      const file = world.disks.at(-1)!; // the image's own
      const target = withFilter
        ? await world.graph.open({ driver: 'pass', 'node-name': 'p', file: 't' })
        : overlay;
      const guest = await world.guest(a.node);
      const reader = await world.guest(target);
      const job = await world.backup(a.node, target, { sync: 'none' });
      const held = gate();
      file.gate = held.promise;
      let isWritten = false;
      const write = guest.write(0, new Uint8Array(512).fill(2)).then(() => {
        isWritten = true;
      });
      await world.platform.settle();
      // Who reads the target would see what the guest has written.
      expect(isWritten).toBe(false);
      held.open();
      await write;
      const seen = new Uint8Array(512);
      await reader.read(0, seen);
      expect(seen.every((byte) => byte === 1)).toBe(true);
      await job.cancel(false);
    });
  }

  it('sends the first request at once and the next when the speed allows', async () => {
    const world = new World();
    const { a, t } = await world.pair(4 * mib);
    const job = await world.backup(a.node, t.node, { speed: 64 * kib });
    await world.platform.settle();
    expect(job.progress).toMatchObject({ current: mib, total: 4 * mib });
    await world.platform.advance(15.9e9);
    expect(job.progress.current).toBe(mib);
    await world.platform.advance(0.2e9);
    expect(job.progress.current).toBe(2 * mib);
    job.setSpeed(0);
    await world.platform.settle();
    expect(job.status).toBe('null');
  });

  it('pauses, refuses a soft cancel while paused, and resumes', async () => {
    const world = new World();
    const { a, t } = await world.pair(8 * mib);
    const job = await world.backup(a.node, t.node, { speed: 64 * kib });
    await world.platform.settle();
    world.take();
    job.pause();
    await job.reaction();
    expect(world.take()).toEqual(['S j0 paused']);
    expect(() => job.pause()).toThrow('Job is already paused');
    job.setSpeed(0);
    job.resume();
    expect(world.take()).toEqual(['S j0 running']);
    expect(() => job.resume()).toThrow("Can't resume a job that was not paused");
    await world.platform.settle();
    expect(world.take()).toEqual([...ending('j0', 8 * mib)]);
  });

  it('ends at once when it is cancelled while paused', async () => {
    const world = new World();
    const { a, t } = await world.pair(8 * mib);
    const job = await world.backup(a.node, t.node, { speed: 64 * kib });
    await world.platform.settle();
    job.pause();
    await job.reaction();
    world.take();
    await job.cancel(true);
    expect(world.take()).toEqual([
      ...statuses('j0', 'running', 'aborting'),
      cancelled('j0', 8 * mib, mib, 64 * kib),
      ...statuses('j0', 'concluded', 'null'),
    ]);
  });

  it('fails with the error of the target and tells the operation', async () => {
    const world = new World();
    const { a, t } = await world.pair(mib);
    t.disk.failNext = { op: 'write', errno: 'ENOSPC' };
    await world.backup(a.node, t.node);
    await world.platform.settle();
    expect(world.take()).toEqual([
      ...started,
      errorEvent('j0', 'write', 'report'),
      'S j0 aborting',
      completed('j0', mib, { offset: 0, error: 'No space left on device' }),
      ...statuses('j0', 'concluded', 'null'),
    ]);
  });

  it('stops on a read error when told so and goes on when resumed', async () => {
    const world = new World();
    const { a, t } = await world.pair(mib);
    a.disk.failNext = { op: 'read', errno: 'ENOSPC' };
    const job = await world.backup(a.node, t.node, { 'on-source-error': 'stop' });
    await world.platform.settle();
    expect(world.take()).toEqual([...started, errorEvent('j0', 'read', 'stop'), 'S j0 paused']);
    expect(job).toMatchObject({ ioStatus: 'nospace', isPaused: true, progress: { current: 0, total: mib } });
    job.resume();
    await world.platform.settle();
    expect(job.ioStatus).toBe('ok');
    expect(world.take().slice(0, 4)).toEqual([
      ...statuses('j0', 'running', 'waiting', 'pending'),
      completed('j0', mib),
    ]);
    expect(Buffer.compare(t.disk.bytes, a.disk.bytes)).toBe(0);
  });

  it('keeps what a guest has overwritten when the target fails, and writes it when resumed', async () => {
    const world = new World();
    const { a, t } = await world.pair(mib);
    const guest = await world.guest(a.node);
    const job = await world.backup(a.node, t.node, { sync: 'none', 'on-target-error': 'stop' });
    t.disk.failNext = { op: 'write', errno: 'EIO' };
    await guest.write(0, new Uint8Array(512).fill(2));
    await world.platform.settle();
    expect(world.take().slice(-2)).toEqual([errorEvent('j0', 'write', 'stop'), 'S j0 paused']);
    expect(t.disk.bytes[0]).toBe(0);
    job.resume();
    await world.platform.settle();
    expect(t.disk.bytes[0]).toBe(1);
    await job.cancel(true);
    await guest.close();
  });

  it('retries for ever with the policy ignore, and can still be cancelled', async () => {
    const world = new World();
    const { a, t } = await world.pair(mib);
    t.disk.write = () => Promise.reject(new BlockError('EIO'));
    const job = await world.backup(a.node, t.node, { 'on-target-error': 'ignore' });
    await world.platform.advance(1e9);
    const errors = world.take().filter((line) => line.startsWith('BLOCK_JOB_ERROR'));
    expect(errors.length).toBeGreaterThan(3);
    await job.cancel(true);
    await world.platform.settle();
    expect(world.take().at(-1)).toBe('S j0 null');
    expect(world.graph.nodes().map((node) => node.name)).toEqual(['t', 'a']);
  });

  it('lets the earlier of two backups of one disk end without harm to the later one', async () => {
    const world = new World();
    const { a, t } = await world.pair(4 * mib);
    const u = await world.disk('u', 4 * mib);
    const guest = await world.guest(a.node);
    await world.backup(a.node, t.node, { sync: 'none' });
    await world.backup(a.node, u.node, { 'job-id': 'j1', sync: 'none' });
    await world.jobs.get('j0').cancel(true);
    await guest.write(0, new Uint8Array(512).fill(2));
    await world.platform.settle();
    expect([u.disk.bytes[0], t.disk.bytes[0]]).toEqual([1, 0]);
    await world.jobs.get('j1').cancel(true);
    expect(guest.node).toBe(a.node);
    expect(world.graph.nodes().map((node) => node.name)).toEqual(['u', 't', 'a']);
  });

  it('takes two backups of one disk at two moments', async () => {
    const world = new World();
    const { a, t } = await world.pair(4 * mib);
    const u = await world.disk('u', 4 * mib);
    const guest = await world.guest(a.node);
    await world.backup(a.node, t.node, { speed: 1 });
    await guest.write(3 * mib, new Uint8Array(mib / 2).fill(2));
    await world.backup(a.node, u.node, { 'job-id': 'j1', speed: 1 });
    await guest.write(3 * mib, new Uint8Array(mib / 2).fill(3));
    for (const job of world.jobs.list()) job.setSpeed(0);
    await world.platform.settle();
    expect(world.jobs.list()).toEqual([]);
    expect([a, t, u].map(({ disk }) => disk.bytes[3 * mib + 12345])).toEqual([3, 1, 2]);
    expect(guest.node).toBe(a.node);
    expect(a.node.parents.size).toBe(1);
  });
});

describe('the bitmap of a backup', () => {
  /** 1 MiB dirty before the job, 64 KiB elsewhere written during it. */
  async function run(mode: 'on-success' | 'never' | 'always', end: 'success' | 'cancel' | 'cancel pending') {
    const world = new World();
    const a = await world.disk('a', 4 * mib, 1);
    const t = await world.disk('t', 4 * mib, 7);
    const guest = await world.guest(a.node);
    const bitmap = bitmapsOf(a.node).add('b');
    await guest.write(0, new Uint8Array(mib).fill(2));
    const held = gate();
    t.disk.gate = held.promise;
    const options = { sync: 'bitmap', bitmap: 'b', 'bitmap-mode': mode } as const;
    const job = await world.backup(a.node, t.node, { ...options, 'auto-finalize': end !== 'cancel pending' });
    expect(bitmap).toMatchObject({ busy: true, recording: true });
    expect(() => bitmap.check('remove')).toThrow("Bitmap 'b' is currently in use by another operation");
    await guest.write(2 * mib, new Uint8Array(64 * kib).fill(3));
    expect(job.progress.total).toBe(mib);
    if (end === 'cancel') {
      t.disk.failNext = { op: 'write', errno: 'EIO' };
      job.requestCancel(true);
    }
    held.open();
    await world.platform.settle();
    if (end === 'cancel pending') await job.cancel(true);
    await world.platform.settle();
    expect(world.jobs.list()).toEqual([]);
    const after = [...bitmapsOf(a.node)];
    expect(after.length).toBe(1);
    expect(after[0]).toMatchObject({ name: 'b', busy: false, recording: true });
    return { count: after[0]!.count, target: t.disk.bytes };
  }

  it('copies what is dirty and nothing else', async () => {
    const { target } = await run('on-success', 'success');
    expect([target[0], target[mib - 1], target[mib], target[2 * mib]]).toEqual([2, 2, 7, 7]);
  });

  const before = mib;
  const during = 64 * kib;
  for (const [mode, end, count] of [
    ['on-success', 'success', during],
    ['always', 'success', during],
    ['never', 'success', before + during],
    ['on-success', 'cancel', before + during],
    ['always', 'cancel', before + during],
    ['never', 'cancel', before + during],
    ['on-success', 'cancel pending', before + during],
    ['always', 'cancel pending', during],
    ['never', 'cancel pending', before + during],
  ] as const) {
    it(`has ${count >> 10} KiB dirty after ${end} with mode ${mode}`, async () => {
      expect((await run(mode, end)).count).toBe(count);
    });
  }
});

describe('a grouped transaction', () => {
  it('makes pending and completes the newest job first', async () => {
    const world = new World();
    const [a, b, t, u] = [
      await world.disk('a', mib, 1),
      await world.disk('b', mib, 2),
      await world.disk('t', mib),
      await world.disk('u', mib),
    ];
    const group = new JobTransaction();
    const held = gate();
    t.disk.gate = held.promise;
    await world.backup(a.node, t.node, {}, group);
    await world.backup(b.node, u.node, { 'job-id': 'j1' }, group);
    held.open();
    await world.platform.settle();
    const events = world.take();
    expect(events.slice(-8)).toEqual([
      ...statuses('j1', 'pending'),
      ...statuses('j0', 'pending'),
      completed('j1', mib),
      ...statuses('j1', 'concluded', 'null'),
      completed('j0', mib),
      ...statuses('j0', 'concluded', 'null'),
    ]);
  });

  it('takes all down when one fails', async () => {
    const world = new World();
    const [a, b, t, u] = [
      await world.disk('a', 8 * mib, 1),
      await world.disk('b', mib, 2),
      await world.disk('t', 8 * mib),
      await world.disk('u', mib),
    ];
    const group = new JobTransaction();
    u.disk.failNext = { op: 'write', errno: 'ENOSPC' };
    await world.backup(a.node, t.node, { speed: 65536 }, group);
    await world.platform.settle();
    world.take();
    await world.backup(b.node, u.node, { 'job-id': 'j1' }, group);
    await world.platform.settle();
    expect(world.take()).toEqual([
      ...statuses('j1', 'created', 'running', 'paused', 'running'),
      errorEvent('j1', 'write', 'report'),
      'S j1 aborting',
      'S j0 aborting',
      completed('j1', mib, { offset: 0, error: 'No space left on device' }),
      ...statuses('j1', 'concluded', 'null'),
      cancelled('j0', 8 * mib, mib, 65536),
      ...statuses('j0', 'concluded', 'null'),
    ]);
  });

  it('cancels also those that wait already', async () => {
    const world = new World();
    const [a, b, t, u] = [
      await world.disk('a', mib, 1),
      await world.disk('b', 8 * mib, 2),
      await world.disk('t', mib),
      await world.disk('u', 8 * mib),
    ];
    const group = new JobTransaction();
    await world.backup(b.node, u.node, { 'job-id': 'j1', speed: 65536 }, group);
    await world.backup(a.node, t.node, {}, group);
    await world.platform.settle();
    expect(world.take().at(-1)).toBe('S j0 waiting');
    await world.jobs.get('j0').cancel(false);
    expect(world.take()).toEqual([
      'S j0 aborting',
      'S j1 aborting',
      cancelled('j0', mib, mib),
      ...statuses('j0', 'concluded', 'null'),
      cancelled('j1', 8 * mib, mib, 65536),
      ...statuses('j1', 'concluded', 'null'),
    ]);
  });
});

describe('manual steps', () => {
  it('waits to be finalized and dismissed', async () => {
    const world = new World();
    const { a, t } = await world.pair(mib);
    const job = await world.backup(a.node, t.node, { 'auto-finalize': false, 'auto-dismiss': false });
    await world.platform.settle();
    expect(world.take().slice(4)).toEqual([
      ...statuses('j0', 'waiting', 'pending'),
      'BLOCK_JOB_PENDING {"type":"backup","id":"j0"}',
    ]);
    await expect(job.complete()).rejects.toThrow(
      "Job 'j0' in state 'pending' cannot accept command verb 'complete'",
    );
    await job.finalize();
    expect(world.take()).toEqual([completed('j0', mib), 'S j0 concluded']);
    job.dismiss();
    expect(world.take()).toEqual(['S j0 null']);
  });

  it('fails when cancelled while pending, keeping the error until dismissed', async () => {
    const world = new World();
    const { a, t } = await world.pair(mib);
    const job = await world.backup(a.node, t.node, { 'auto-finalize': false, 'auto-dismiss': false });
    await world.platform.settle();
    world.take();
    await job.cancel(false);
    expect(world.take()).toEqual(['S j0 aborting', cancelled('j0', mib, mib), 'S j0 concluded']);
    expect(job.error?.message).toBe('Operation canceled');
    expect(() => world.jobs.checkId('j0')).toThrow("Job ID 'j0' already in use");
  });

  it('ends everything at shutdown', async () => {
    const world = new World();
    const { a, t } = await world.pair(8 * mib);
    await world.backup(a.node, t.node, { speed: 1 });
    await world.platform.settle();
    await world.jobs.cancelAll();
    expect(world.jobs.list()).toEqual([]);
    expect(world.graph.nodes().map((node) => node.name)).toEqual(['t', 'a']);
  });
});
