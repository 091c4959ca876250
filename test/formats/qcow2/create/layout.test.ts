/** How large the metadata of an image is: the numbers of `qemu-img measure`, and the files that are really made. */
import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { checkImage } from '../../../../host/formats/qcow2/check/check.ts';
import { createImage } from '../../../../host/formats/qcow2/create/create.ts';
import { layOutImage, layoutOf, wholeDisk } from '../../../../host/formats/qcow2/create/layout.ts';
import { haveQemu } from '../../../support/tools.ts';
import { MemoryFile } from '../memory-file.ts';

interface Shape {
  size: number;
  clusterSize: number;
  refcountBits: number;
  extendedL2: boolean;
}

/** What `qemu-img measure` says about a bare size: nothing is data yet, or everything. */
function measure({ size, clusterSize, refcountBits, extendedL2 }: Shape) {
  const disk = wholeDisk(size, { clusterSize, l2EntryBytes: extendedL2 ? 16 : 8 });
  const refcountOrder = Math.log2(refcountBits);
  const layout = layoutOf({ clusterSize, refcountOrder, l1Entries: disk.l2Tables, ...disk });
  const fullyAllocated = layout.totalClusters * clusterSize;
  return { required: fullyAllocated - disk.dataClusters * clusterSize, 'fully-allocated': fullyAllocated };
}

const defaults = { refcountBits: 16, extendedL2: false };

describe('the layout of a whole disk', () => {
  test.each([
    [65536, false, 393216, 1074135040],
    [4096, false, 2637824, 1076379648],
    [512, false, 21385216, 1095127040],
    [2097152, false, 10485760, 1084227584],
    [65536, true, 524288, 1074266112],
  ])(
    'of 1 GiB in clusters of %d (extended: %j) is as large as the specification says',
    (clusterSize, extendedL2, required, full) => {
      const found = measure({ ...defaults, size: 2 ** 30, clusterSize, extendedL2 });
      expect(found).toEqual({ required, 'fully-allocated': full });
    },
  );

  test.skipIf(!haveQemu)('is as large as qemu-img measure says', () => {
    const shape = fc.record({
      size: fc
        .oneof(fc.integer({ min: 0, max: 2 ** 24 }), fc.integer({ min: 0, max: 2 ** 38 }))
        .map((size) => size * 512),
      clusterSize: fc.integer({ min: 9, max: 21 }).map((bits) => 2 ** bits),
      refcountBits: fc.constantFrom(1, 2, 4, 8, 16, 32, 64),
      extendedL2: fc.boolean(),
    });
    const possible = ({ size, clusterSize, extendedL2 }: Shape) =>
      (!extendedL2 || clusterSize >= 16384) && size <= clusterSize ** 2 * 2 ** 18;
    fc.assert(
      fc.property(shape.filter(possible), (image) => {
        const options = `cluster_size=${image.clusterSize},refcount_bits=${image.refcountBits},extended_l2=${image.extendedL2 ? 'on' : 'off'}`;
        const answer = execFileSync('qemu-img', [
          ...['measure', '--output=json', '-O', 'qcow2', '-o', options],
          ...['--size', String(image.size)],
        ]);
        expect(measure(image)).toEqual(JSON.parse(answer.toString()));
      }),
      { numRuns: 60 },
    );
  });

  test.each([
    [3 * 2 ** 20, 512, 16],
    [2 ** 20 + 512, 512, 64],
    [2 ** 24, 4096, 1],
    [2 ** 25, 65536, 16],
    [2 ** 20, 2 ** 21, 16],
  ])(
    'of %d bytes in clusters of %d with refcounts of %d bits is the length of its preallocated image',
    async (size, clusterSize, refcountBits) => {
      const file = new MemoryFile();
      await createImage(file, {
        ...{ size, preallocation: 'metadata', cluster_size: clusterSize, refcount_bits: refcountBits },
      });
      const full = measure({ ...defaults, size, clusterSize, refcountBits })['fully-allocated'];
      expect(file.bytes.length).toBe(full);
      const found = await checkImage(file, { fix: { leaks: false, errors: false }, report: () => {} });
      expect(found).toMatchObject({ corruptions: 0, leaks: 0, imageEndOffset: full });
    },
  );
});

test('a refcount table beyond what readers accept is refused', () => {
  const contents = { clusterSize: 512, refcountOrder: 6, l1Entries: 0, l2Tables: 0 };
  // 64 refcounts in a block, and 1 Mi blocks in a table of 8 MiB.
  expect(() => layOutImage({ ...contents, dataClusters: 2 ** 26 })).toThrow(
    'Reference count table too large',
  );
});
