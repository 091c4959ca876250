/**
 * Tables of an open image that get more room: the memory of its instance grows, and nothing that is read into it meanwhile
 * goes astray.
 */
import { expect, it } from 'vitest';
import { World } from '../../../jobs/world.ts';
import { attach } from '../../../support/attach.ts';
import { Seeded } from '../../../support/seeded.ts';
import { kib, mib } from '../../../support/units.ts';

const gib = 2 ** 30;
/** What one L2 table is about. */
const tableBytes = 512 * mib;
const tables = 16;

const contentAt = (table: number): number => 1 + table;

it('an L1 table grows while tables are read', async () => {
  const world = new World();
  const user = await attach(await world.image('a', tables * tableBytes));
  for (let table = 0; table < tables; table++) {
    await user.write(table * tableBytes, new Uint8Array(4 * kib).fill(contentAt(table)));
  }
  const disk = world.disks.at(-1)!; // of the image that was just opened
  world.slow(disk, new Seeded(1), 4);
  let isGrown = false;
  let reads = 0;
  const random = new Seeded(2);
  const reader = async (): Promise<void> => {
    const data = new Uint8Array(4 * kib);
    while (!isGrown || reads < 200) {
      const table = random.below(tables);
      await user.read(table * tableBytes, data);
      expect(data.every((byte) => byte === contentAt(table))).toBe(true);
      reads++;
    }
  };
  const readers = [reader(), reader(), reader(), reader()];
  for (const size of [64 * gib, 1024 * gib, 64 * 1024 * gib]) await user.truncate(size);
  isGrown = true;
  await Promise.all(readers);
  await user.write(63 * 1024 * gib, new Uint8Array(4 * kib).fill(77));
  await user.flush();
  const data = new Uint8Array(4 * kib);
  await user.read(63 * 1024 * gib, data);
  expect(data.every((byte) => byte === 77)).toBe(true);
  await user.close();
});
