import { describe, expect, it } from 'vitest';
import type { BlockBackend } from '../../host/block/backend.ts';
import type { BlockNode } from '../../host/block/node.ts';
import { type ActiveCommitParams, startActiveCommit } from '../../host/jobs/commit/active-commit.ts';
import { chooseCommit } from '../../host/jobs/commit/choice.ts';
import type { Job } from '../../host/jobs/job.ts';
import { kib, mib } from '../support/units.ts';
import { World } from './world.ts';

interface Chain {
  world: World;
  base: BlockNode;
  mid: BlockNode;
  top: BlockNode;
  guest: BlockBackend;
}

/** base 1 MiB of 1; mid half a MiB of 2; top 64 KiB of 3. */
async function chain({ baseBytes = 4 * mib } = {}): Promise<Chain> {
  const world = new World();
  const base = await world.image('base', baseBytes, undefined, { offset: 0, bytes: mib, value: 1 });
  const mid = await world.image('mid', 4 * mib, base, { offset: mib / 2, bytes: mib / 2, value: 2 });
  const top = await world.image('top', 4 * mib, mid);
  const guest = await world.guest(top);
  await guest.write(600 * kib, new Uint8Array(64 * kib).fill(3));
  await guest.writeZeroes(0, 64 * kib);
  return { world, base, mid, top, guest };
}

function commit(
  world: World,
  top: BlockNode,
  base: BlockNode,
  more: Partial<ActiveCommitParams> = {},
): Promise<Job> {
  return startActiveCommit(world.graph, world.jobs, {
    id: 'j0',
    top,
    base,
    speed: undefined,
    onError: 'report',
    filterNodeName: undefined,
    autoFinalize: undefined,
    autoDismiss: undefined,
    ...more,
  });
}

async function settleReady(world: World, job: Job): Promise<void> {
  await world.platform.advance(200_000_000);
  expect(job.status).toBe('ready');
}

describe('active commit', () => {
  it('brings all layers into the base, with what guests write meanwhile, and gives it their place', async () => {
    const { world, base, top, guest } = await chain();
    const job = await commit(world, top, base);
    await guest.write(3 * mib, new Uint8Array(512).fill(4));
    await settleReady(world, job);
    await guest.write(100 * kib, new Uint8Array(512).fill(5));
    const expected = new Uint8Array(4 * mib);
    await guest.read(0, expected);
    await job.complete();
    await world.platform.settle();
    expect(world.take().at(-1)).toBe('S j0 null');
    expect(guest.node).toBe(base);
    expect(Buffer.compare(await world.contentOf(base), expected)).toBe(0);
    await guest.write(0, new Uint8Array(512).fill(6));
    expect([base.references, top.references]).toEqual([3, 1]);
  });

  it('copies only what the layers above the base hold', async () => {
    const { world, base, top } = await chain();
    const job = await commit(world, top, base);
    await settleReady(world, job);
    expect(job.progress).toMatchObject({ current: 576 * kib, total: 576 * kib });
  });

  it('grows a base that is too short', async () => {
    const { world, base, top, guest } = await chain({ baseBytes: mib });
    await guest.write(4 * mib - 512, new Uint8Array(512).fill(9));
    const job = await commit(world, top, base);
    await settleReady(world, job);
    expect(base.length).toBe(4 * mib);
    await job.complete();
    await world.platform.settle();
    expect((await world.contentOf(base)).at(-1)).toBe(9);
  });

  it('shows guests the same all the time, and leaves the chain in place when it is cancelled', async () => {
    for (const force of [false, true]) {
      const { world, base, mid, top, guest } = await chain();
      const before = await world.contentOf(top);
      const job = await commit(world, top, base);
      await settleReady(world, job);
      expect(Buffer.compare(await world.contentOf(guest.node), before)).toBe(0);
      await job.cancel(force);
      await world.platform.settle();
      expect(world.take().at(-1)).toBe('S j0 null');
      expect([guest.node, top.backing(), mid.backing()]).toEqual([top, mid, base]);
      expect(Buffer.compare(await world.contentOf(top), before)).toBe(0);
    }
  });

  it('freezes the chain as long as it runs', async () => {
    const { world, base, mid, top } = await chain();
    const job = await commit(world, top, base);
    await expect(world.graph.setBacking(top, base)).rejects.toThrow(
      "Cannot change frozen 'backing' link from 'top' to 'mid'",
    );
    expect(() => mid.opBlockers.check('mirror-source')).toThrow(
      /block device is in use by block job: commit/,
    );
    await settleReady(world, job);
    await job.cancel(true);
    await world.platform.settle();
    await world.graph.setBacking(top, base);
  });

  it('makes a read-only base writable, and read-only again when it cannot begin', async () => {
    const { world, base, mid, top } = await chain();
    await world.graph.setReadOnly(mid, true);
    await world.graph.setReadOnly(base, true);
    await expect(commit(world, top, base, { id: '1c' })).rejects.toThrow("Invalid job ID '1c'");
    expect(base.readOnly).toBe(true);
    const job = await commit(world, top, base);
    expect(base.readOnly).toBe(false);
    await settleReady(world, job);
    await job.complete();
    await world.platform.settle();
    expect(base.readOnly).toBe(false);
  });
});

describe('the choice of images for a commit', () => {
  it('is active when the top is the device, or has a writer', async () => {
    const { world, base, mid, top } = await chain();
    const choose = (more: object) => chooseCommit(world.graph, top, { device: 'top', ...more });
    expect(choose({})).toEqual({ top, base, isActive: true });
    expect(choose({ 'top-node': 'mid' })).toEqual({ top: mid, base, isActive: false });
    const writer = await world.guest(mid);
    expect(choose({ 'top-node': 'mid' }).isActive).toBe(true);
    expect(() => choose({ 'top-node': 'mid', 'backing-file': 'x' })).toThrow(
      "'backing-file' specified, but 'top' has a writer on it",
    );
    await writer.close();
  });
});
