import { expect, test } from 'vitest';
import { BufferPool } from '../../host/copy/buffer-pool.ts';
import { kib, mib } from '../support/units.ts';

test('a pool gives again what it was given, of the same size class', () => {
  const pool = new BufferPool();
  const buffer = pool.take(5 * kib);
  expect(buffer.length).toBe(8 * kib);
  pool.give(buffer);
  expect(pool.take(4 * kib)).not.toBe(buffer);
  expect(pool.take(7 * kib)).toBe(buffer);
  expect(pool.take(8 * kib)).not.toBe(buffer);
});

test('a full pool drops large buffers for small ones, and no small ones for large', () => {
  const pool = new BufferPool();
  const large = Array.from({ length: 32 }, () => pool.take(mib));
  const small = pool.take(32 * kib);
  for (const buffer of large) pool.give(buffer);
  pool.give(small);
  pool.give(new Uint8Array(mib));
  expect(pool.take(32 * kib)).toBe(small);
  const again = new Set(Array.from({ length: 32 }, () => pool.take(mib)));
  expect(large.filter((buffer) => again.has(buffer)).length).toBe(31);
});
