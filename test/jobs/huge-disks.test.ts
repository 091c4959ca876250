/**
 * Copies of disks of many terabytes with little on them take the time and the memory of what is on them: nothing is asked of
 * the target for the rest.
 */
import { expect, it } from 'vitest';
import type { BlockNode } from '../../host/block/node.ts';
import { kib, mib } from '../support/units.ts';
import { World } from './world.ts';

const tebibyte = 2 ** 40;
const size = 64 * tebibyte;
/** The last byte of the disk is in the last of them. */
const places = [0, 5 * tebibyte + 3 * mib, 40 * tebibyte, size - 64 * kib];

async function huge(world: World): Promise<{ source: BlockNode; target: BlockNode }> {
  const source = await world.image('a', size);
  const guest = await world.guest(source);
  for (const [index, place] of places.entries()) {
    await guest.write(place, new Uint8Array(64 * kib).fill(index + 1));
  }
  await guest.close();
  return { source, target: await world.image('t', size) };
}

/** Fails when it takes more turns than a copy of what is there does. */
async function comesTo(world: World, status: string): Promise<void> {
  for (let round = 0; round < 50 && !world.events.includes(`S j0 ${status}`); round++) {
    await world.platform.settle();
  }
  expect(world.events).toContain(`S j0 ${status}`);
}

async function expectCopied(world: World, target: BlockNode): Promise<void> {
  const user = await world.guest(target);
  const data = new Uint8Array(64 * kib);
  for (const [index, place] of places.entries()) {
    await user.read(place, data);
    expect(data.every((byte) => byte === index + 1)).toBe(true);
  }
  await user.read(20 * tebibyte, data);
  expect(data.every((byte) => byte === 0)).toBe(true);
  await user.close();
  // The tables of the image, and four clusters with a table each: no table for zeros.
  const { bytes } = world.disks.at(-1)!; // the target was opened last
  expect(bytes.length).toBeLessThan(3 * mib);
}

it('a backup writes no zeros to what the target has as zeros', async () => {
  const world = new World();
  const { source, target } = await huge(world);
  await world.backup(source, target);
  await comesTo(world, 'null');
  await expectCopied(world, target);
});

it('a backup of what the top layer holds passes the rest in a few steps', async () => {
  const world = new World();
  const { source, target } = await huge(world);
  await world.backup(source, target, { sync: 'top' });
  await comesTo(world, 'null');
  await expectCopied(world, target);
});

it('a backup writes zeros over what the target holds', async () => {
  const world = new World();
  const { source, target } = await huge(world);
  const user = await world.guest(target);
  await user.write(20 * tebibyte + 64 * kib, new Uint8Array(mib).fill(9));
  await user.close();
  await world.backup(source, target);
  await comesTo(world, 'null');
  const reader = await world.guest(target);
  const data = new Uint8Array(2 * mib);
  await reader.read(20 * tebibyte, data);
  expect(data.every((byte) => byte === 0)).toBe(true);
  await reader.close();
  await expectCopied(world, target);
});

it('a mirror is ready when what the source holds is copied, and counts all of the disk', async () => {
  const world = new World();
  const { source, target } = await huge(world);
  const job = await world.mirror(source, target, { sync: 'full' });
  await comesTo(world, 'ready');
  expect(job.progress.current).toBe(job.progress.total);
  await job.cancel(true);
  await comesTo(world, 'null');
  await expectCopied(world, target);
});
