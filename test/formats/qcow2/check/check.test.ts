import { describe, expect, test } from 'vitest';
import type { CheckResult } from '../../../../host/block/driver.ts';
import { checkImage } from '../../../../host/formats/qcow2/check/check.ts';
import { maxReportedFindings } from '../../../../host/formats/qcow2/check/report.ts';
import { createImage } from '../../../../host/formats/qcow2/create/create.ts';
import { haveQemu } from '../../../support/tools.ts';
import { MemoryFile, makeWithQemu, runQemu } from '../memory-file.ts';

type Fix = 'none' | 'leaks' | 'all';

async function check(file: MemoryFile, fix: Fix = 'none'): Promise<{ result: CheckResult; lines: string[] }> {
  const lines: string[] = [];
  const result = await checkImage(file, {
    fix: { leaks: fix !== 'none', errors: fix === 'all' },
    report: (line) => lines.push(line),
  });
  return { result, lines };
}

/** Counts what is read from now on. */
function countReads(file: MemoryFile): { bytes: number } {
  const count = { bytes: 0 };
  const read = file.read.bind(file);
  file.read = (offset, buffer) => {
    count.bytes += buffer.length;
    return read(offset, buffer);
  };
  return count;
}

function copyOf(file: MemoryFile): MemoryFile {
  return new MemoryFile(file.bytes.slice());
}

const read64 = (file: MemoryFile, at: number) => file.view().getBigUint64(at);
const write64 = (file: MemoryFile, at: number, value: bigint) => file.view().setBigUint64(at, value);
const write32 = (file: MemoryFile, at: number, value: number) => file.view().setUint32(at, value);
const write16 = (file: MemoryFile, at: number, value: number) => file.view().setUint16(at, value);
const copied = 1n << 63n;
const offsetMask = 0x00fffffffffffe00n;

/** Where things are in an image, so that damage can be aimed at them. */
function locate(file: MemoryFile) {
  const l1 = Number(read64(file, 40));
  const refcountTable = Number(read64(file, 48));
  const snapshotTable = Number(read64(file, 64));
  const l2 = Number(read64(file, l1) & offsetMask);
  const block = Number(read64(file, refcountTable));
  return { l1, refcountTable, snapshotTable, l2, block };
}

type Places = ReturnType<typeof locate> & { snapshotL1: number; snapshotL2: number };

interface Damage {
  name: string;
  damage(file: MemoryFile, at: Places): void;
  options?: string;
  snapshot?: boolean;
  /** Findings differ from QEMU's on purpose: only the class of the result is compared. */
  onlyClass?: boolean;
  /** What the image refers to is not what it should be, so reading it fails even when all counts are right. */
  unreadable?: boolean;
  /** What repairs leave behind; default none. */
  remains?: Partial<Record<'leaks' | 'all', 'corruptions' | 'leaks'>>;
}

const damages: Damage[] = [
  { name: 'nothing', damage: () => {} },
  { name: 'nothing, with a snapshot', damage: () => {}, snapshot: true },
  { name: 'a refcount that is too high', damage: (f, at) => write16(f, at.block + 2 * 5, 2) },
  {
    name: 'a cluster with a refcount behind the end of the file',
    damage: (f, at) => write16(f, at.block + 2 * 20, 1),
  },
  {
    name: 'one cluster used twice',
    damage: (f, at) => write64(f, at.l2 + 8 * 3, read64(f, at.l2)),
    remains: { leaks: 'corruptions' },
  },
  {
    name: 'a clear COPIED of a data cluster',
    damage: (f, at) => write64(f, at.l2, read64(f, at.l2) & ~copied),
  },
  { name: 'a clear COPIED of an L2 table', damage: (f, at) => write64(f, at.l1, read64(f, at.l1) & ~copied) },
  {
    name: 'reserved bits in L1',
    damage: (f, at) => write64(f, at.l1, read64(f, at.l1) | 1n | (1n << 57n)),
    remains: { leaks: 'corruptions', all: 'corruptions' },
  },
  {
    name: 'reserved bits in L2',
    damage: (f, at) => write64(f, at.l2, read64(f, at.l2) | 2n | (1n << 57n)),
    remains: { leaks: 'corruptions', all: 'corruptions' },
  },
  {
    name: 'an unaligned L2 table',
    damage: (f, at) => write64(f, at.l1, read64(f, at.l1) | 0x200n),
    onlyClass: true,
    remains: { leaks: 'corruptions', all: 'corruptions' },
  },
  {
    name: 'an unaligned data cluster',
    damage: (f, at) => write64(f, at.l2, read64(f, at.l2) | 0x200n),
    remains: { leaks: 'corruptions', all: 'corruptions' },
  },
  {
    name: 'an unaligned preallocated cluster',
    damage: (f, at) => write64(f, at.l2, read64(f, at.l2) | 0x201n),
    remains: { leaks: 'corruptions' },
  },
  { name: 'a preallocated cluster', damage: (f, at) => write64(f, at.l2, read64(f, at.l2) | 1n) },
  {
    name: 'data behind the end of the file',
    damage: (f, at) => write64(f, at.l2, copied | 0x5550000n),
    remains: { leaks: 'corruptions', all: 'corruptions' },
  },
  {
    name: 'an L2 table behind the end of the file',
    damage: (f, at) => write64(f, at.l1, copied | 0x5550000n),
    remains: { leaks: 'corruptions', all: 'corruptions' },
  },
  {
    name: 'data at the very end of the file',
    damage: (f, at) => write64(f, at.l2 + 8 * 10, copied | BigInt(f.bytes.length)),
    remains: { leaks: 'corruptions', all: 'corruptions' },
  },
  {
    name: 'compressed data at the very end of the file',
    damage: (f, at) => write64(f, at.l2 + 8 * 10, (1n << 62n) | BigInt(f.bytes.length)),
    unreadable: true,
    remains: { leaks: 'corruptions' },
  },
  {
    name: 'COPIED on a compressed cluster',
    damage: (f, at) => write64(f, at.l2 + 8 * 10, (3n << 62n) | (read64(f, at.l2) & offsetMask)),
    remains: { leaks: 'corruptions', all: 'corruptions' },
  },
  {
    name: 'compressed data behind the end of the file',
    damage: (f, at) => write64(f, at.l2 + 8 * 10, (1n << 62n) | 0x5550000n),
    remains: { leaks: 'corruptions', all: 'corruptions' },
  },
  {
    name: 'reserved bits in the refcount table',
    damage: (f, at) => write64(f, at.refcountTable, read64(f, at.refcountTable) | 1n),
  },
  {
    name: 'reserved bits in an unused refcount table entry',
    damage: (f, at) => write64(f, at.refcountTable + 16, 0x1ffn),
  },
  {
    name: 'an unaligned refcount block',
    damage: (f, at) => write64(f, at.refcountTable, read64(f, at.refcountTable) | 0x200n),
    onlyClass: true,
  },
  {
    name: 'a refcount block behind the end of the file',
    damage: (f, at) => write64(f, at.refcountTable, 0x5550000n),
  },
  {
    name: 'an unused refcount block behind the end of the file',
    damage: (f, at) => write64(f, at.refcountTable + 8, 0x5550000n),
    remains: { leaks: 'corruptions' },
  },
  {
    name: 'a refcount block used twice',
    damage: (f, at) => write64(f, at.refcountTable + 8, read64(f, at.refcountTable)),
  },
  { name: 'a missing refcount block', damage: (f, at) => write64(f, at.refcountTable, 0n) },
  {
    name: 'a refcount block that is data',
    damage: (f, at) => write64(f, at.refcountTable, read64(f, at.l2) & offsetMask),
  },
  {
    name: 'a refcount block full of zeros',
    damage: (f, at) => f.bytes.fill(0, at.block, at.block + 64),
    remains: { leaks: 'corruptions' },
  },
  {
    name: 'one refcount of zero',
    damage: (f, at) => write16(f, at.block + 2 * 5, 0),
    remains: { leaks: 'corruptions' },
  },
  {
    name: 'more references than a refcount of one bit can hold',
    options: 'refcount_bits=1',
    damage: (f, at) => write64(f, at.l2 + 8 * 3, read64(f, at.l2)),
    remains: { leaks: 'corruptions', all: 'corruptions' },
  },
  { name: 'the dirty bit', damage: (f) => f.bytes.set([1], 79) },
  { name: 'the corrupt bit', damage: (f) => f.bytes.set([2], 79) },
  { name: 'a dangling COPIED', damage: (f, at) => write64(f, at.l2, copied) },
  {
    name: 'an unaligned snapshot L1 table',
    snapshot: true,
    damage: (f, at) => write64(f, at.snapshotTable, BigInt(at.snapshotL1 | 0x200)),
    remains: { leaks: 'corruptions', all: 'corruptions' },
  },
  {
    name: 'a snapshot L1 table that is too large',
    snapshot: true,
    damage: (f, at) => write32(f, at.snapshotTable + 8, 4194305),
    remains: { leaks: 'corruptions', all: 'corruptions' },
  },
  {
    name: 'a snapshot L1 table behind the end of the file',
    snapshot: true,
    damage: (f, at) => write64(f, at.snapshotTable, 0x5550000n),
    remains: { leaks: 'corruptions', all: 'corruptions' },
  },
  {
    name: 'a snapshot L1 table of zeros',
    snapshot: true,
    damage: (f, at) => write64(f, at.snapshotL1, 0n),
  },
  {
    name: 'reserved bits in a snapshot L2 table',
    snapshot: true,
    damage: (f, at) => write64(f, at.snapshotL2, read64(f, at.snapshotL2) | 2n),
    remains: { leaks: 'corruptions', all: 'corruptions' },
  },
  {
    name: 'a snapshot without extra data',
    snapshot: true,
    damage: (f, at) => write32(f, at.snapshotTable + 36, 0),
    remains: { leaks: 'corruptions' },
  },
  {
    name: 'a snapshot that is counted but not there',
    snapshot: true,
    damage: (f) => write32(f, 60, 2),
    remains: { leaks: 'corruptions' },
  },
  {
    name: 'a truncated file',
    damage: (f) => {
      f.bytes = f.bytes.slice(0, 0x80000);
    },
    remains: { leaks: 'corruptions', all: 'corruptions' },
  },
  {
    name: 'a file that ends inside a cluster',
    damage: (f) => {
      f.bytes = f.bytes.slice(0, 0x80200);
    },
  },
];

const commands = ['write 0 128k', 'write 256k 64k', 'write 512k 64k'];
const counters = [
  'corruptions',
  'leaks',
  'image-end-offset',
  'total-clusters',
  'allocated-clusters',
] as const;
const statistics = ['fragmented-clusters', 'compressed-clusters'] as const;

function asJson(result: CheckResult): Record<string, number> {
  return {
    corruptions: result.corruptions,
    leaks: result.leaks,
    'image-end-offset': result.imageEndOffset,
    'total-clusters': result.totalClusters,
    'allocated-clusters': result.allocatedClusters,
    'fragmented-clusters': result.fragmentedClusters,
    'compressed-clusters': result.compressedClusters,
  };
}

async function damaged({ damage, options, snapshot }: Damage): Promise<MemoryFile> {
  const all = snapshot ? [...commands, 'snapshot s1', 'write 0 64k'] : commands;
  const file = await makeWithQemu(options ?? '', '1M', all);
  const at = locate(file);
  const snapshotL1 = at.snapshotTable === 0 ? 0 : Number(read64(file, at.snapshotTable));
  const snapshotL2 = snapshotL1 === 0 ? 0 : Number(read64(file, snapshotL1) & offsetMask);
  damage(file, { ...at, snapshotL1, snapshotL2 });
  return file;
}

describe.skipIf(!haveQemu)('checkImage beside qemu-img check', () => {
  test.each(damages)('finds what qemu-img finds: $name', async (scenario) => {
    const file = await damaged(scenario);
    const theirs = await runQemu(copyOf(file), 'qemu-img', ['check', '--output=json', 'IMAGE']);
    const { result, lines } = await check(file);
    const found = result.corruptions > 0 ? 'corruptions' : result.leaks > 0 ? 'leaks' : 'nothing';
    if (scenario.onlyClass) {
      expect(found).toBe('corruptions');
      expect(theirs.status).not.toBe(0);
      return;
    }
    const expected = JSON.parse(theirs.stdout) as Record<string, number>;
    const ours = asJson(result);
    for (const counter of [...counters, ...statistics]) {
      expect({ [counter]: ours[counter] }).toEqual({ [counter]: expected[counter] ?? 0 });
    }
    expect(lines.toSorted()).toEqual(
      theirs.stderr
        .split('\n')
        .filter((line) => line !== '')
        .toSorted(),
    );
  });

  test.each(
    damages.flatMap((scenario) => [
      { ...scenario, fix: 'leaks' as const },
      { ...scenario, fix: 'all' as const },
    ]),
  )('repairs ($fix) so that qemu-img agrees: $name', async (scenario) => {
    const file = await damaged(scenario);
    const before = await check(copyOf(file));
    let failed = false;
    await check(file, scenario.fix).catch((error: unknown) => {
      expect(error).toMatchObject({ errno: 'EIO' });
      failed = true;
    });
    if (failed) {
      // Only -r leaks may find that it is not enough.
      expect(scenario.fix).toBe('leaks');
      expect(before.result.corruptions).toBeGreaterThan(0);
      return;
    }
    const after = await check(file);
    const theirs = await runQemu(file, 'qemu-img', ['check', '--output=json', 'IMAGE']);
    const remains = scenario.remains?.[scenario.fix];
    if (remains === undefined) {
      expect(after).toMatchObject({ result: { corruptions: 0, leaks: 0, checkErrors: 0 }, lines: [] });
      expect(theirs.status).toBe(0);
      expect(file.bytes[79]).toBe(0);
      const read = await runQemu(file, 'qemu-io', ['-f', 'qcow2', '-c', 'read 0 1M', 'IMAGE']);
      expect(read.status).toBe(scenario.unreadable ? 1 : 0);
    } else {
      expect(after.result[remains]).toBeGreaterThan(0);
      expect(theirs.status).not.toBe(0);
    }
  });

  test('frees nothing while a snapshot cannot be examined', async () => {
    const scenario = damages.find(({ name }) => name === 'an unaligned snapshot L1 table');
    const file = await damaged(scenario as Damage);
    const before = await check(copyOf(file));
    const { result, lines } = await check(file, 'leaks');
    expect(result.leaks).toBe(before.result.leaks);
    expect(result.leaksFixed).toBe(0);
    expect(lines).toContain(
      'Leaked clusters are not freed, because parts of the image could not be examined',
    );
  });

  test.each(['1', '2', '4', '8', '16', '32', '64'])('works with refcounts of %s bits', async (bits) => {
    const options = `cluster_size=512,refcount_bits=${bits}`;
    const file = await makeWithQemu(options, '1M', ['write 0 300k', 'write 700k 20k']);
    expect((await check(file)).lines).toEqual([]);
    const at = locate(file);
    file.bytes.fill(0, at.block, at.block + 100);
    const damagedByUs = await check(copyOf(file));
    const theirs = await runQemu(copyOf(file), 'qemu-img', ['check', '--output=json', 'IMAGE']);
    const expected = JSON.parse(theirs.stdout) as Record<string, number>;
    expect(damagedByUs.result.corruptions).toBe(expected.corruptions);
    await check(file, 'all');
    expect((await runQemu(file, 'qemu-img', ['check', 'IMAGE'])).status).toBe(0);
    write64(file, at.refcountTable + 8, 0n);
    await check(file, 'all');
    const verdict = await runQemu(file, 'qemu-img', ['check', 'IMAGE']);
    expect(verdict.stdout).toContain('No errors were found on the image.');
  });

  test('counts compressed clusters and persistent bitmaps', async () => {
    const file = await makeWithQemu('', '1M', ['write -c 0 64k', 'write -c 64k 64k', 'write 256k 64k']);
    await runQemu(file, 'qemu-img', ['bitmap', '--add', 'IMAGE', 'b0']);
    await runQemu(file, 'qemu-io', ['-f', 'qcow2', '-c', 'write 512k 64k', 'IMAGE']);
    const theirs = await runQemu(copyOf(file), 'qemu-img', ['check', '--output=json', 'IMAGE']);
    const { result, lines } = await check(file);
    expect(lines).toEqual([]);
    const expected = JSON.parse(theirs.stdout) as Record<string, number>;
    for (const counter of [...counters, ...statistics]) {
      expect({ [counter]: asJson(result)[counter] }).toEqual({ [counter]: expected[counter] ?? 0 });
    }
  });
});

describe('checkImage', () => {
  const emptyImage = async (values: Record<string, string | number | boolean> = {}) => {
    const file = new MemoryFile();
    await createImage(file, { size: 1048576, ...values });
    return file;
  };

  test('finds nothing in a new image', async () => {
    const { result, lines } = await check(await emptyImage());
    expect(lines).toEqual([]);
    expect(result).toMatchObject({ corruptions: 0, leaks: 0, totalClusters: 16, allocatedClusters: 0 });
  });

  test('is done at once with an L1 table that names one L2 table four million times', async () => {
    const entries = 4 * 1024 * 1024;
    const file = await emptyImage({ preallocation: 'metadata' });
    const entry = read64(file, Number(read64(file, 40)));
    const l1 = Math.ceil(file.bytes.length / 65536) * 65536;
    await file.truncate(l1 + entries * 8);
    for (let index = 0; index < entries; index++) write64(file, l1 + index * 8, entry);
    write32(file, 36, entries);
    write64(file, 40, BigInt(l1));
    const read = countReads(file);
    const { result, lines } = await check(file);
    expect(result.corruptions).toBeGreaterThan(4_000_000);
    expect(lines.length).toBe(maxReportedFindings + 1);
    expect(read.bytes).toBeLessThan(4 * file.bytes.length);
  });

  test('does not read overlapping snapshot L1 tables again and again', async () => {
    const file = await emptyImage();
    const count = 60_000;
    const table = Math.ceil(file.bytes.length / 65536) * 65536;
    await file.truncate(table + count * 64);
    for (let index = 0; index < count; index++) {
      const at = table + index * 64;
      write64(file, at, BigInt((index % 4) * 65536));
      write32(file, at + 8, 4 * 1024 * 1024 - index);
      write32(file, at + 36, 16);
      write16(file, at + 12, 1);
    }
    write32(file, 60, count);
    write64(file, 64, BigInt(table));
    const read = countReads(file);
    const { result } = await check(file);
    expect(result.corruptions).toBeGreaterThan(0);
    expect(read.bytes).toBeLessThan(20 * file.bytes.length + 64 * 1024 * 1024);
  });

  test('refuses a file whose counts would not fit in memory', async () => {
    const file = await emptyImage();
    Object.defineProperty(file, 'length', { value: 2 ** 50 });
    await expect(check(file)).rejects.toMatchObject({ errno: 'EFBIG' });
  });

  test.each([['with extended L2 entries', 76, 0x10]])(
    'refuses an image that it cannot walk: %s',
    async (what, at, value) => {
      const file = await emptyImage();
      write32(file, at, value);
      write32(file, 36, 2);
      await expect(check(file)).rejects.toMatchObject({
        errno: 'ENOTSUP',
        message: expect.stringContaining(what) as string,
      });
    },
  );
});
