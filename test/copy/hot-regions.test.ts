import { expect, it } from 'vitest';
import { HotRegions } from '../../host/copy/hot-regions.ts';

it('gives the regions with most writes first, each once', () => {
  const regions = new HotRegions(100);
  for (const offset of [10, 250, 299, 250, 120, 130]) regions.note(offset);
  const order = [regions.take(), regions.take(), regions.take(), regions.take()];
  expect(order.map((region) => region?.offset)).toEqual([200, 100, 0, undefined]);
});

it('forgets the least written ones when there are too many', () => {
  const regions = new HotRegions(1);
  for (let times = 0; times < 3; times++) regions.note(7);
  for (let offset = 1000; offset < 1000 + 4095; offset++) regions.note(offset);
  // One more than there is room for.
  regions.note(9999);
  expect([regions.take()?.offset, regions.take()?.offset, regions.take()]).toEqual([7, 9999, undefined]);
});
