/** What is told again of changes to a disk: of each byte the last change, whatever order they are made in. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Change, lastChanges } from '../../host/protocols/nbd/last-changes.ts';

const size = 64;

function make(disk: Uint8Array, { offset, length, data }: Change): void {
  disk.set(data ?? new Uint8Array(length), offset);
}

const changes = fc.array(
  fc
    .record({ offset: fc.nat(size - 1), bytes: fc.integer({ min: 1, max: 20 }), isZero: fc.boolean() })
    .map(({ offset, bytes, isZero }): Change => {
      const length = Math.min(bytes, size - offset);
      return { command: 1, flags: 0, offset, length, data: isZero ? undefined : new Uint8Array(length) };
    }),
  { maxLength: 30 },
);

test('only the last change of each byte is left, and a disk that has them all stays as it is', () => {
  fc.assert(
    fc.property(changes, fc.infiniteStream(fc.nat()), (all, chance) => {
      const disk = new Uint8Array(size).fill(255);
      for (const [index, change] of all.entries()) {
        change.data?.fill(index + 1);
        make(disk, change);
      }
      const pieces = lastChanges(all);
      const told = pieces.reduce((sum, { length }) => sum + length, 0);
      expect(told).toBe(disk.filter((byte) => byte !== 255).length);

      const forgetful = new Uint8Array(size).fill(255);
      const mindful = disk.slice();
      const shuffled = [...pieces].sort(() => (Number(chance.next().value) % 2) - 0.5);
      for (const piece of shuffled) {
        make(forgetful, piece);
        make(mindful, piece);
        expect(mindful).toEqual(disk);
      }
      expect(forgetful).toEqual(disk);
    }),
  );
});

test('many changes take little time', () => {
  const many = Array.from({ length: 100_000 }, (_, index) => ({
    command: 1,
    flags: 0,
    offset: (index * 7919 * 512) % 2 ** 30,
    length: 512 * (1 + (index % 64)),
    data: undefined,
  }));
  const pieces = lastChanges(many);
  expect(pieces.length).toBeGreaterThan(10_000);
});
