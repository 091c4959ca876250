import { describe, expect, test } from 'vitest';
import { MetadataClass } from '../../../../host/core/qcow2-abi.ts';
import type { Snapshot } from '../../../../host/formats/qcow2/disk/snapshot-table.ts';
import { findSnapshotRanges } from '../../../../host/formats/qcow2/live/overlap-check.ts';
import { MemoryFile } from '../memory-file.ts';

const clusterSize = 512;
const copied = 1n << 63n;

/** An image of so many bytes with L1 tables of snapshots, by their offset. */
function imageOf(
  tables: Record<number, bigint[]>,
  options: { inactiveL2Ranges?: number; mask?: number } = {},
) {
  const file = new MemoryFile(new Uint8Array(8192));
  const snapshots = Object.entries(tables).map(([offset, entries]) => {
    for (const [index, entry] of entries.entries())
      file.view().setBigUint64(Number(offset) + index * 8, entry);
    return { l1TableOffset: BigInt(offset), l1Size: entries.length } as Snapshot;
  });
  const image = {
    file,
    core: { inactiveL2Ranges: options.inactiveL2Ranges ?? 100 },
    header: { clusterSize },
    options: { overlapMask: options.mask ?? MetadataClass.inactiveL2 },
  } as unknown as Parameters<typeof findSnapshotRanges>[0];
  return findSnapshotRanges(image, { snapshots, bytes: 100 }, 7168);
}

describe('the tables of snapshots', () => {
  test('are ranges in order that do not touch, each once', async () => {
    const ranges = await imageOf({
      1024: [0x2000n | copied, 0n, 0x1000n],
      512: [0x2000n, 0x2200n, 0x1000n],
      2048: [0x4000n],
    });
    expect(ranges.table).toEqual({ offset: 7168, bytes: 100 });
    expect([...ranges.l1]).toEqual([512, 536, 1024, 1048, 2048, 2056]);
    expect([...ranges.l2]).toEqual([0x1000, 0x1200, 0x2000, 0x2400, 0x4000, 0x4200]);
  });

  test('are not read where nobody looks for L2 tables of snapshots', async () => {
    const ranges = await imageOf({ 512: [0x2000n] }, { mask: MetadataClass.inactiveL1 });
    expect([...ranges.l1]).toEqual([512, 520]);
    expect([...ranges.l2]).toEqual([]);
  });

  test('of images without snapshots are nowhere', async () => {
    expect(await imageOf({})).toEqual({
      table: { offset: 7168, bytes: 0 },
      l1: new Float64Array(),
      l2: new Float64Array(),
    });
  });

  test('are refused when there are more L2 tables than there is room for', async () => {
    const tables = { 512: [0x2000n, 0x3000n, 0x4000n] };
    await expect(imageOf(tables, { inactiveL2Ranges: 2 })).rejects.toMatchObject({ errno: 'EFBIG' });
    expect((await imageOf(tables, { inactiveL2Ranges: 3 })).l2).toHaveLength(6);
  });

  test('are refused when one cannot be a table', async () => {
    await expect(imageOf({ 520: [0x2000n] })).rejects.toMatchObject({ errno: 'EINVAL' });
  });
});
