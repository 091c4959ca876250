import { fc, test } from '@fast-check/vitest';
import { describe, expect, it } from 'vitest';
import { BlockError } from '../../host/base/errors.ts';
import { firstRun, statusRuns } from '../../host/copy/status-runs.ts';
import { Units } from '../../host/copy/units.ts';

interface Extent {
  bytes: number;
  is: string;
}

/** A disk with one status per byte, told in pieces of random length, which may reach out of what was asked. */
class Disk {
  private asked = 0;

  constructor(
    readonly bytes: readonly string[],
    private readonly pieces: readonly number[],
  ) {}

  readonly ask = async (offset: number, bytes: number): Promise<Extent> => {
    expect(bytes).toBeGreaterThan(0);
    expect(offset + bytes).toBeLessThanOrEqual(this.bytes.length);
    const is = this.bytes[offset]!; // looked at just now
    const piece = this.pieces[this.asked++ % this.pieces.length]!; // there is one at least
    let length = 1;
    while (length < piece && this.bytes[offset + length] === is) length++;
    return { bytes: length, is };
  };

  /** The bytes from `start` on that are like the first. */
  runLength(start: number, end: number): number {
    let length = 1;
    while (start + length < end && this.bytes[start + length] === this.bytes[start]) length++;
    return length;
  }
}

const same = (run: Extent, next: Extent): boolean => run.is === next.is;

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

const disks = fc
  .tuple(
    fc.array(fc.constantFrom('data', 'zero', 'hole'), { minLength: 1, maxLength: 60 }),
    fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 7 }),
  )
  .map(([bytes, pieces]) => new Disk(bytes, pieces));

describe('runs of status', () => {
  test.prop([disks, fc.nat(), fc.nat()])(
    'are those of the bytes, however they are told',
    async (disk, a, b) => {
      const [start, end] = [a % (disk.bytes.length + 1), b % (disk.bytes.length + 1)].sort(
        (x, y) => x - y,
      ) as [number, number];
      const expected: (Extent & { start: number })[] = [];
      for (let at = start; at < end; at += expected.at(-1)!.bytes) {
        expected.push({ start: at, bytes: disk.runLength(at, end), is: disk.bytes[at]! });
      }
      expect(await collect(statusRuns(start, end, disk.ask, same))).toEqual(expected);
      if (start < end) {
        const { start: _, ...first } = expected[0]!; // not empty
        expect(await firstRun(start, end - start, disk.ask, same)).toEqual(first);
      }
    },
  );

  test.prop([disks, fc.integer({ min: 1, max: 9 }), fc.nat(), fc.nat()])(
    'are whole units when they are asked for in units',
    async (disk, unitBytes, first, count) => {
      const { length } = disk.bytes;
      const units = new Units(length, unitBytes);
      const offset = (first % Math.ceil(length / unitBytes)) * unitBytes;
      const bytes = Math.min(length - offset, (1 + (count % 4)) * unitBytes);
      const found = await units.firstOfAKind({ offset, bytes }, disk.ask, ({ is }) => is);
      const run = disk.runLength(offset, offset + bytes);
      if (run >= Math.min(unitBytes, length - offset)) {
        expect(found).toEqual({
          kind: disk.bytes[offset],
          bytes: offset + run === length ? run : run - (run % unitBytes),
        });
      } else {
        expect(found).toEqual({ kind: undefined, bytes: Math.min(unitBytes, length - offset) });
      }
    },
  );

  it('say what their first extent says, and may go on by more than equality', async () => {
    const extents = [
      { bytes: 1, at: 7 },
      { bytes: 2, at: 8 },
      { bytes: 1, at: 12 },
    ];
    const ask = async (offset: number): Promise<{ bytes: number; at: number }> =>
      extents[offset === 0 ? 0 : offset === 1 ? 1 : 2]!;
    const runs = statusRuns(0, 4, ask, (run, next) => run.at + run.bytes === next.at);
    expect(await collect(runs)).toEqual([
      { start: 0, bytes: 3, at: 7 },
      { start: 3, bytes: 1, at: 12 },
    ]);
  });

  it('end with an error before the run that it follows', async () => {
    const ask = async (offset: number): Promise<Extent> => {
      if (offset > 0) throw new BlockError('EIO');
      return { bytes: 1, is: 'data' };
    };
    await expect(collect(statusRuns(0, 2, ask, same))).rejects.toMatchObject({ errno: 'EIO' });
    await expect(firstRun(0, 2, ask, same)).rejects.toMatchObject({ errno: 'EIO' });
    expect(await firstRun(0, 1, ask, same)).toEqual({ bytes: 1, is: 'data' });
  });
});
