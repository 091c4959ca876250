import { describe, expect, it } from 'vitest';
import { bitmapsOf } from '../../host/bitmaps/node-bitmaps.ts';
import type { Job } from '../../host/jobs/job.ts';
import { kib, mib } from '../support/units.ts';
import { errorEvent, gate, jobEvent, statuses, World } from './world.ts';

const started = statuses('j0', 'created', 'running');
const ended = statuses('j0', 'concluded', 'null');

function event(
  name: 'READY' | 'COMPLETED',
  len: number,
  more: { offset?: number; error?: string } = {},
): string {
  return jobEvent(name, { type: 'mirror', id: 'j0', len }, more);
}

async function finish(world: World, job: Job): Promise<void> {
  await job.complete();
  await world.platform.settle();
}

describe('mirror', () => {
  it('copies the whole disk, becomes ready, and gives the target the place of the source', async () => {
    const world = new World();
    const a = await world.disk('a', 3 * mib + 512, 5);
    const t = await world.disk('t', 3 * mib + 512, 1);
    const guest = await world.guest(a.node);
    const job = await world.mirror(a.node, t.node);
    await world.platform.settle();
    const len = 3 * mib + 512;
    expect(world.take()).toEqual([...started, 'S j0 ready', event('READY', len)]);
    expect(Buffer.compare(t.disk.bytes, a.disk.bytes)).toBe(0);
    await finish(world, job);
    expect(world.take()).toEqual(['S j0 waiting', 'S j0 pending', event('COMPLETED', len), ...ended]);
    expect(guest.node).toBe(t.node);
    await guest.write(0, new Uint8Array(512).fill(9));
    expect([a.disk.bytes[0], t.disk.bytes[0]]).toEqual([5, 9]);
    expect(world.graph.nodes().map((node) => node.name)).toEqual(['t', 'a']);
    expect([a.node.references, t.node.references]).toEqual([1, 2]);
    expect([...bitmapsOf(a.node)]).toEqual([]);
    expect(t.node.opBlockers.isBlocked('resize')).toBe(false);
  });

  it('brings along what guests write before and after it is ready', async () => {
    const world = new World();
    const { a, t } = await world.pair(4 * mib);
    const guest = await world.guest(a.node);
    const held = gate();
    t.disk.gate = held.promise;
    const job = await world.mirror(a.node, t.node);
    await guest.write(100 * kib, new Uint8Array(300 * kib).fill(2));
    held.open();
    await world.platform.settle();
    expect(job.status).toBe('ready');
    await guest.writeZeroes(2 * mib, 64 * kib);
    expect(t.disk.bytes[2 * mib]).toBe(1);
    await world.platform.advance(100_000_000);
    expect(Buffer.compare(t.disk.bytes, a.disk.bytes)).toBe(0);
    await guest.write(512, new Uint8Array(512).fill(3));
    await finish(world, job);
    expect(Buffer.compare(t.disk.bytes, a.disk.bytes)).toBe(0);
    await guest.close();
  });

  it('lets a write end only when the target has it, with copy-mode=write-blocking', async () => {
    const world = new World();
    const { a, t } = await world.pair(mib);
    const guest = await world.guest(a.node);
    const job = await world.mirror(a.node, t.node, { 'copy-mode': 'write-blocking' });
    await world.platform.settle();
    await guest.write(1000, new Uint8Array(3000).fill(7));
    await guest.writeZeroes(80 * kib, 1000);
    expect(Buffer.compare(t.disk.bytes, a.disk.bytes)).toBe(0);
    const held = gate();
    t.disk.gate = held.promise;
    let done = false;
    const write = guest.write(0, new Uint8Array(512).fill(8)).then(() => {
      done = true;
    });
    await world.platform.settle();
    expect([done, a.disk.bytes[0]]).toEqual([false, 8]);
    held.open();
    await write;
    expect(job.progress).toMatchObject({ current: mib + 4512, total: mib + 4512 });
    await finish(world, job);
    expect(world.take().at(-1)).toBe('S j0 null');
    await guest.close();
  });

  it('leaves the source in place when it is cancelled softly after it was ready', async () => {
    const world = new World();
    const a = await world.disk('a', mib, 4);
    const t = await world.disk('t', mib);
    const guest = await world.guest(a.node);
    const job = await world.mirror(a.node, t.node);
    await world.platform.settle();
    await guest.write(0, new Uint8Array(512).fill(5));
    world.take();
    await job.cancel(false);
    await world.platform.settle();
    expect(world.take().slice(0, 2)).toEqual(['S j0 waiting', 'S j0 pending']);
    expect(Buffer.compare(t.disk.bytes, a.disk.bytes)).toBe(0);
    expect(guest.node).toBe(a.node);
    await guest.write(0, new Uint8Array(512).fill(6));
    expect(t.disk.bytes[0]).toBe(5);
    expect([a.node.references, t.node.references]).toEqual([2, 1]);
  });

  it('keeps guests waiting between its work and its end, and lets them go with either end', async () => {
    for (const end of ['finalize', 'cancel'] as const) {
      const world = new World();
      const a = await world.disk('a', mib, 4);
      const t = await world.disk('t', mib);
      const guest = await world.guest(a.node);
      const job = await world.mirror(a.node, t.node, { 'auto-finalize': false });
      await world.platform.settle();
      await finish(world, job);
      expect(job.status).toBe('pending');
      const write = guest.write(0, new Uint8Array(512).fill(6));
      await world.platform.settle();
      expect([a.disk.bytes[0], t.disk.bytes[0]]).toEqual([4, 4]);
      if (end === 'finalize') await job.finalize();
      else await job.cancel(true);
      await write;
      expect([a.disk.bytes[0], t.disk.bytes[0]]).toEqual(end === 'finalize' ? [4, 6] : [6, 4]);
      await guest.close();
      expect([a.node.references, t.node.references]).toEqual([1, 1]);
    }
  });

  it('copies with sync=none only what is written from now on', async () => {
    const world = new World();
    const { a, t } = await world.pair(mib);
    const guest = await world.guest(a.node);
    await world.mirror(a.node, t.node, { sync: 'none' });
    expect(world.take()).toEqual([...started, 'S j0 ready', event('READY', 0)]);
    await guest.write(70 * kib, new Uint8Array(512).fill(2));
    await world.platform.advance(100_000_000);
    expect([t.disk.bytes[0], t.disk.bytes[64 * kib], t.disk.bytes[70 * kib]]).toEqual([0, 1, 2]);
  });

  it('does what its error policies say, for source and target', async () => {
    const cases = [
      { op: 'write', option: 'on-target-error', operation: 'write' },
      { op: 'read', option: 'on-source-error', operation: 'read' },
    ] as const;
    for (const { op, option, operation } of cases) {
      for (const action of ['report', 'ignore', 'stop'] as const) {
        const world = new World();
        const { a, t } = await world.pair(mib);
        (op === 'write' ? t : a).disk.failNext = { op, errno: 'ENOSPC' };
        const job = await world.mirror(a.node, t.node, { [option]: action });
        await world.platform.settle();
        const events = world.take().slice(2);
        expect(events[0]).toBe(errorEvent('j0', operation, action));
        if (action === 'report') {
          const failed = event('COMPLETED', mib, { offset: 0, error: 'No space left on device' });
          expect(events.slice(1)).toEqual(['S j0 aborting', failed, ...ended]);
          expect([a.node.references, t.node.references]).toEqual([1, 1]);
          continue;
        }
        if (action === 'stop') {
          expect([events.slice(1), job.ioStatus]).toEqual([['S j0 paused'], 'nospace']);
          job.resume();
          await world.platform.settle();
        } else {
          // What is ignored is tried again a moment later.
          await world.platform.advance(1e9);
        }
        expect(job.status).toBe('ready');
        expect(Buffer.compare(t.disk.bytes, a.disk.bytes)).toBe(0);
      }
    }
  });

  it('does not let a guest feel a failing target, even with copy-mode=write-blocking', async () => {
    const world = new World();
    const { a, t } = await world.pair(mib);
    const guest = await world.guest(a.node);
    const job = await world.mirror(a.node, t.node, {
      'copy-mode': 'write-blocking',
      'on-target-error': 'stop',
    });
    await world.platform.settle();
    t.disk.failNext = { op: 'write', errno: 'EIO' };
    await guest.write(0, new Uint8Array(512).fill(2));
    await world.platform.settle();
    expect([job.status, job.ioStatus, t.disk.bytes[0]]).toEqual(['standby', 'failed', 1]);
    job.resume();
    await world.platform.settle();
    expect(t.disk.bytes[0]).toBe(2);
    await guest.close();
  });

  it('stops for drained sections with nothing in flight', async () => {
    const world = new World();
    const { a, t } = await world.pair(40 * mib);
    const held = gate();
    t.disk.gate = held.promise;
    const job = await world.mirror(a.node, t.node);
    let drained = false;
    const drain = a.node.drainBegin().then(() => {
      drained = true;
    });
    await world.platform.settle();
    expect([drained, job.status]).toEqual([false, 'running']);
    held.open();
    await drain;
    expect(job.status).toBe('paused');
    const { length } = t.disk.log;
    await world.platform.settle();
    expect(t.disk.log.length).toBe(length);
    a.node.drainEnd();
    await world.platform.settle();
    expect(job.status).toBe('ready');
  });

  it('keeps to its speed between stretches of the size of its buffer', async () => {
    const world = new World();
    const { a, t } = await world.pair(4 * mib);
    const job = await world.mirror(a.node, t.node, { 'buf-size': mib, speed: mib });
    await world.platform.settle();
    expect(job.progress.current).toBe(mib);
    await world.platform.advance(0.9e9);
    expect(job.progress.current).toBe(mib);
    await world.platform.advance(0.2e9);
    expect(job.progress.current).toBe(2 * mib);
    job.setSpeed(0);
    await world.platform.settle();
    expect(job.status).toBe('ready');
  });

  it('has at most 16 requests in flight, and no more data than its buffer holds', async () => {
    const world = new World();
    const { a, t } = await world.pair(40 * mib);
    const held = gate();
    t.disk.gate = held.promise;
    await world.mirror(a.node, t.node);
    await world.platform.settle();
    expect(t.disk.log.filter((line) => line.startsWith('write'))).toHaveLength(16);
    held.open();
    await world.platform.settle();
    expect(Buffer.compare(t.disk.bytes, a.disk.bytes)).toBe(0);
  });

  it('fails without a trace when its nodes cannot be had', async () => {
    const world = new World();
    const { a, t } = await world.pair(mib);
    const user = await world.guest(t.node);
    await user.setPermissions(3, 0);
    await expect(world.mirror(a.node, t.node)).rejects.toThrow(/Permission conflict on node 't'/);
    expect(world.take()).toEqual(['S j0 created', 'S j0 null']);
    await expect(world.mirror(a.node, t.node, { 'job-id': '1c' })).rejects.toThrow("Invalid job ID '1c'");
    expect([a.node.references, t.node.references]).toEqual([1, 2]);
    expect(world.graph.nodes()).toHaveLength(2);
    await user.close();
  });

  it('fails when the lengths differ, after it has started', async () => {
    const world = new World();
    const a = await world.disk('a', mib, 1);
    const t = await world.disk('t', 2 * mib);
    await world.mirror(a.node, t.node);
    await world.platform.settle();
    const failed = event('COMPLETED', 0, { error: 'Source and target image have different sizes' });
    expect(world.take()).toEqual([...started, 'S j0 aborting', failed, ...ended]);
  });

  it('replaces a node below a filter, which stays', async () => {
    const world = new World();
    const { a, t } = await world.pair(mib);
    const pass = await world.graph.open({ driver: 'pass', 'node-name': 'pass', file: 'a' });
    const guest = await world.guest(pass);
    const job = await world.mirror(pass, t.node, { replaces: 'a' });
    await world.platform.settle();
    await finish(world, job);
    expect([guest.node, pass.filtered()]).toEqual([pass, t.node]);
    expect(a.node.references).toBe(1);
    await guest.close();
  });
});
