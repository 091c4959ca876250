/** What a target holds nothing of: not so when it names a backing file, which it will be read through. */
import { expect, test } from 'vitest';
import type { BlockNode } from '../../host/block/node.ts';
import { askUntouched, isUntouched } from '../../host/copy/untouched.ts';
import { World } from '../jobs/world.ts';

const size = 1 << 20;

test('is all of an image that was just made', async () => {
  const target = await new World().image('t', size);
  const status = await askUntouched(target)(0, size);
  expect(isUntouched(status)).toBe(true);
  expect(status.bytes).toBe(size);
});

test('is nothing of one that names a backing file, although it is open without it, nor of what lies above', async () => {
  const image = await new World().image('t', size);
  Object.defineProperty(image.driver, 'backing', { value: { filename: 'base', format: 'raw' } });
  const above = { driver: {}, children: new Map([['file', { node: image }]]) } as unknown as BlockNode;
  for (const target of [image, above]) {
    const status = await askUntouched(target)(0, size);
    expect(isUntouched(status)).toBe(false);
    expect(status.bytes).toBe(size);
  }
});
