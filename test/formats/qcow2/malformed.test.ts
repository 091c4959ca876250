/**
 * Malformed images (specification: qcow2, section 13): refused with the errno and the words of QEMU, and whatever the
 * bytes are, in bounded time and memory.
 */
import { fc, test as property } from '@fast-check/vitest';
import { describe, expect, test } from 'vitest';
import { BlockError, type Errno } from '../../../host/base/errors.ts';
import { checkImage } from '../../../host/formats/qcow2/check/check.ts';
import { createImage } from '../../../host/formats/qcow2/create/create.ts';
import { readBitmapDirectory, readBitmapTable } from '../../../host/formats/qcow2/disk/bitmap-directory.ts';
import {
  type ParseFlags,
  readHeader,
  requireStandardImage,
  validateLayout,
} from '../../../host/formats/qcow2/disk/header.ts';
import { readSnapshotTable, snapshotL1 } from '../../../host/formats/qcow2/disk/snapshot-table.ts';
import { describeImage } from '../../../host/formats/qcow2/info.ts';
import { haveQemu } from '../../support/tools.ts';
import { MemoryFile, makeWithQemu, runQemu } from './memory-file.ts';

const reading: ParseFlags = { readOnly: true, check: false, noIo: false };
const writing: ParseFlags = { readOnly: false, check: false, noIo: false };

type Patch = [offset: number, bytes: readonly number[]];

const u16 = (value: number) => [value >> 8, value & 255];
const u32 = (value: number) => [...u16(value >>> 16), ...u16(value & 0xffff)];
const u64 = (value: bigint) => [...u32(Number(value >> 32n)), ...u32(Number(value & 0xffffffffn))];
const ascii = (text: string) => [...new TextEncoder().encode(text)];

function extension(type: number, data: readonly number[], length = data.length): number[] {
  return [...u32(type), ...u32(length), ...data, ...new Array<number>(-data.length & 7).fill(0)];
}
const end = extension(0, []);

async function image(patches: readonly Patch[], values: Record<string, string | number> = {}) {
  const file = new MemoryFile();
  await createImage(file, { size: 64 * 1024 * 1024, ...values });
  await file.truncate(Math.ceil(file.bytes.length / 65536) * 65536);
  for (const [offset, bytes] of patches) file.bytes.set(bytes, offset);
  return file;
}

/** What opening does before it touches data: the driver takes the same steps. */
async function open(file: MemoryFile, flags: ParseFlags): Promise<void> {
  const header = await readHeader(file, flags);
  const snapshots = await readSnapshotTable(file, header);
  if (flags.noIo) return;
  requireStandardImage(header);
  if (!flags.readOnly) validateLayout(header, snapshots.bytes);
}

/** Types of header extensions. */
const [backingFormat, featureNames, luksHeader, bitmapsInfo] = [
  0xe2792aca, 0x6803f857, 0x0537be77, 0x23852875,
];

/** Where the header of version 3 ends. */
const extensions = (...all: readonly number[][]): Patch => [112, [...all.flat(), ...end]];
const featureName = (bit: number, name: string) => [0, bit, ...ascii(name.padEnd(46, '\0'))];
const bitmapsExtension = (count: number, reserved: number, bytes: bigint, offset: bigint) =>
  extension(bitmapsInfo, [...u32(count), ...u32(reserved), ...u64(bytes), ...u64(offset)]);
const backingName = (offset: number, length: number): Patch[] => [
  [8, u64(BigInt(offset))],
  [16, u32(length)],
];
/** The autoclear feature bit that makes the extension of bitmaps count. */
const hasBitmaps: Patch = [95, [1]];

interface Malformation {
  name: string;
  patches: Patch[];
  /** EINVAL unless said otherwise. */
  errno?: Errno;
  message: string;
  values?: Record<string, string | number>;
  /** QEMU is more lenient, or says something else: ours on purpose. */
  ours?: boolean;
}

const malformations: Malformation[] = [
  { name: 'magic', patches: [[3, [0]]], message: 'Image is not in qcow2 format' },
  { name: 'version 4', patches: [[4, u32(4)]], errno: 'ENOTSUP', message: 'Unsupported qcow2 version 4' },
  { name: 'version 1', patches: [[4, u32(1)]], errno: 'ENOTSUP', message: 'Unsupported qcow2 version 1' },
  { name: 'clusters of 256 bytes', patches: [[20, u32(8)]], message: 'Unsupported cluster size: 2^8' },
  { name: 'clusters of 4 MiB', patches: [[20, u32(22)]], message: 'Unsupported cluster size: 2^22' },
  {
    name: 'extended L2 entries in clusters of 8 KiB',
    patches: [[79, [0x10]]],
    values: { cluster_size: 8192 },
    message: 'Unsupported subcluster size: 256',
  },
  { name: 'a short header', patches: [[100, u32(96)]], message: 'qcow2 header too short' },
  {
    name: 'a header longer than a cluster',
    patches: [[100, u32(65544)]],
    message: 'qcow2 header exceeds cluster size',
  },
  {
    name: 'an odd header length',
    patches: [[100, u32(108)]],
    message: 'qcow2 header length is not a multiple of 8',
    ours: true,
  },
  {
    name: 'unknown incompatible features',
    patches: [[72, u64((1n << 63n) | 0x20n)]],
    errno: 'ENOTSUP',
    message: 'Unsupported qcow2 feature(s): Unknown incompatible feature: 8000000000000020',
  },
  {
    name: 'unknown incompatible features with names',
    patches: [
      [72, u64(0xe0n)],
      extensions(extension(featureNames, [...featureName(5, 'foo'), ...featureName(6, 'b r')])),
    ],
    errno: 'ENOTSUP',
    message: 'Unsupported qcow2 feature(s): foo, b r, Unknown incompatible feature: 80',
  },
  {
    name: 'an unknown compression type',
    patches: [
      [79, [8]],
      [104, [2]],
    ],
    errno: 'ENOTSUP',
    message: 'qcow2: unknown compression type: 2',
  },
  {
    name: 'a compression type without its feature bit',
    patches: [[104, [1]]],
    message: 'qcow2: Compression type incompatible feature bit must be set',
  },
  {
    name: 'the compression feature bit without a type',
    patches: [[79, [8]]],
    message: 'qcow2: Compression type incompatible feature bit must not be set',
  },
  {
    name: 'refcounts of 128 bits',
    patches: [[96, u32(7)]],
    message: 'Reference count entry width too large; may not exceed 64 bits',
  },
  {
    name: 'an unknown encryption method',
    patches: [[32, u32(3)]],
    message: 'Unsupported encryption method 3',
  },
  {
    name: 'an extension longer than the cluster',
    patches: [[112, extension(0x1234, [], 70000)]],
    message: 'Header extension too large',
  },
  {
    name: 'an extension that runs into the backing file name',
    patches: [...backingName(116, 4), [112, u32(0x1234)]],
    message: 'Header extension too large',
  },
  {
    name: 'a long backing format',
    patches: [extensions(extension(backingFormat, ascii('a'.repeat(16))))],
    message: 'ERROR: ext_backing_format: len=16 too large (>=16)',
  },
  {
    name: 'a backing format with a NUL byte',
    patches: [extensions(extension(backingFormat, ascii('ra\0w')))],
    message: 'Backing format name contains a NUL byte',
    ours: true,
  },
  {
    name: 'a backing file name with a NUL byte',
    patches: [...backingName(1000, 3), [1000, ascii('a\0b')]],
    message: 'Backing file name contains a NUL byte',
    ours: true,
  },
  {
    name: 'a known extension twice',
    patches: [extensions(extension(backingFormat, ascii('raw')), extension(backingFormat, ascii('qcow2')))],
    message: 'Duplicate header extension 0xe2792aca',
    ours: true,
  },
  {
    name: 'a backing file name behind the first cluster',
    patches: backingName(65544, 4),
    message: 'Invalid backing file offset',
  },
  {
    name: 'a backing file name inside the header',
    patches: backingName(96, 4),
    message: 'Invalid backing file offset',
    ours: true,
  },
  {
    name: 'a backing file name of 1024 bytes',
    patches: backingName(1000, 1024),
    message: 'Backing file name too long',
  },
  {
    name: 'a backing file name that leaves the first cluster',
    patches: backingName(65000, 1000),
    message: 'Backing file name too long',
  },
  {
    name: 'no refcount table',
    patches: [[56, u32(0)]],
    message: 'Image does not contain a reference count table',
  },
  {
    name: 'a refcount table beyond 8 MiB',
    patches: [[56, u32(129)]],
    errno: 'EFBIG',
    message: 'Reference count table too large',
  },
  {
    name: 'an unaligned refcount table',
    patches: [[48, u64(0x10200n)]],
    message: 'Reference count table offset invalid',
  },
  {
    name: 'a refcount table at the end of the world',
    patches: [[48, u64((1n << 63n) - 0x10000n)]],
    message: 'Reference count table offset invalid',
  },
  {
    name: 'an L1 table beyond 32 MiB',
    patches: [[36, u32(4194305)]],
    errno: 'EFBIG',
    message: 'Active L1 table too large',
  },
  {
    name: 'an unaligned L1 table',
    patches: [[40, u64(0x30200n)]],
    message: 'Active L1 table offset invalid',
  },
  { name: 'an L1 table that is too small', patches: [[36, u32(0)]], message: 'L1 table is too small' },
  { name: 'a size of 2^63', patches: [[24, u64(1n << 63n)]], errno: 'EFBIG', message: 'Image is too big' },
  {
    name: 'a size of 2^60 in small clusters',
    patches: [[24, u64(1n << 60n)]],
    errno: 'EFBIG',
    message: 'Image is too big',
  },
  {
    name: '65537 snapshots',
    patches: [[60, u32(65537)]],
    errno: 'EFBIG',
    message: 'Snapshot table too large',
  },
  {
    name: 'an unaligned snapshot table, even of no snapshots',
    patches: [[64, u64(512n)]],
    message: 'Snapshot table offset invalid',
  },
  {
    name: 'a snapshot with too much extra data',
    patches: [
      [60, [...u32(1), ...u64(0x30000n)]],
      [0x30000 + 36, u32(1025)],
    ],
    errno: 'EFBIG',
    message: 'Too much extra metadata in snapshot table entry 0',
  },
  {
    name: 'raw external data without a data file',
    patches: [[95, [2]]],
    message: 'data-file-raw requires a data file',
  },
  {
    name: 'a data file without a name',
    patches: [[79, [4]]],
    message: "'data-file' is required for this image",
  },
  {
    name: 'LUKS without its header',
    patches: [[32, u32(2)]],
    message: 'Missing CRYPTO header for crypt method 2',
  },
  {
    name: 'a LUKS header in a plain image',
    patches: [extensions(extension(luksHeader, new Array<number>(16).fill(0)))],
    message: 'CRYPTO header extension only expected with LUKS encryption method',
  },
  {
    name: 'a LUKS header extension of the wrong size',
    patches: [[32, u32(2)], extensions(extension(luksHeader, new Array<number>(8).fill(0)))],
    message: 'CRYPTO header extension size 8, but expected size 16',
  },
  {
    name: 'an unaligned LUKS header',
    patches: [[32, u32(2)], extensions(extension(luksHeader, [...u64(0x40200n), ...u64(1000n)]))],
    message: "Encryption header offset '262656' is not a multiple of cluster size '65536'",
  },
  {
    name: 'a bitmaps extension of the wrong size',
    patches: [extensions(extension(bitmapsInfo, new Array<number>(16).fill(0)))],
    message: 'bitmaps_ext: Invalid extension length',
  },
  {
    name: 'a bitmaps extension without bitmaps',
    patches: [hasBitmaps, extensions(bitmapsExtension(0, 0, 0n, 0n))],
    message: 'found bitmaps extension with zero bitmaps',
  },
  {
    name: 'a bitmaps extension with reserved bits',
    patches: [hasBitmaps, extensions(bitmapsExtension(1, 1, 32n, 0x40000n))],
    message: 'bitmaps_ext: Reserved field is not zero',
  },
  {
    name: '65536 bitmaps',
    patches: [hasBitmaps, extensions(bitmapsExtension(65536, 0, 32n, 0x40000n))],
    message: 'bitmaps_ext: Image has 65536 bitmaps, exceeding the QEMU supported maximum of 65535',
  },
  {
    name: 'an unaligned bitmap directory',
    patches: [hasBitmaps, extensions(bitmapsExtension(1, 0, 32n, 0x40200n))],
    message: 'bitmaps_ext: invalid bitmap directory offset',
  },
  {
    name: 'a bitmap directory that is too large',
    patches: [hasBitmaps, extensions(bitmapsExtension(1, 0, 67107841n, 0x40000n))],
    message: 'bitmaps_ext: bitmap directory size (67107841) exceeds the maximum supported size (67107840)',
  },
];

describe('a malformed header', () => {
  test.each(malformations)(
    'is refused: $name',
    async ({ patches, errno = 'EINVAL', message, values, ours }) => {
      const file = await image(patches, values);
      const error = await open(file, reading).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(BlockError);
      expect(error).toMatchObject({ errno, message });
      if (!haveQemu || ours) return;
      const theirs = await runQemu(file, 'qemu-io', ['-r', '-f', 'qcow2', '-c', 'length', 'IMAGE']);
      expect(theirs.stderr.split('\n')[0]).toBe(`qemu-io: can't open device IMAGE: ${message}`);
    },
  );

  test('marked corrupt opens for reading and for repair, not for writing', async () => {
    const file = await image([[79, [2]]]);
    await open(file, reading);
    await readHeader(file, { ...writing, check: true });
    await expect(open(file, writing)).rejects.toMatchObject({
      errno: 'EACCES',
      message: 'qcow2: Image is corrupt; cannot be opened read/write',
    });
  });

  test('with what only data access needs missing can still be asked about', async () => {
    for (const patch of [[79, [4]] as Patch, [95, [2]] as Patch, [32, u32(2)] as Patch]) {
      await open(await image([patch]), { ...reading, noIo: true });
    }
  });

  test.each<[string, Patch]>([
    ['L1 table in the header', [40, u64(0n)]],
    ['refcount table in the header', [48, u64(0n)]],
    ['L1 table in the refcount table', [40, u64(0x10000n)]],
  ])('with overlapping structures is refused for writing only: %s', async (_, patch) => {
    const file = await image([patch]);
    await open(file, reading);
    await expect(open(file, writing)).rejects.toMatchObject({
      errno: 'EINVAL',
      message: expect.stringContaining('overlaps with') as string,
    });
  });

  test.each<[string, Patch]>([['extended L2 entries', [76, [0, 0, 0, 0x10]]]])(
    'of an image that is not handled here is refused by name: %s',
    async (_, patch) => {
      await expect(open(await image([patch, [36, u32(2)]]), reading)).rejects.toMatchObject({
        errno: 'ENOTSUP',
      });
    },
  );
});

describe('snapshots', () => {
  test('with a damaged L1 pointer are listed, and refused on use', async () => {
    const entry = [...u64(0x30200n), ...u32(4194305), ...u16(1), ...u16(2), ...u32(5), ...u32(6), ...u64(7n)];
    const file = await image([
      [60, [...u32(1), ...u64(0x30000n)]],
      [0x30000, [...entry, ...u32(0), ...u32(0), ...ascii('1s1')]],
    ]);
    const header = await readHeader(file, reading);
    const { snapshots, bytes } = await readSnapshotTable(file, header);
    expect(bytes).toBe(43);
    const [snapshot] = snapshots;
    expect(snapshot).toMatchObject({ id: '1', name: 's1', dateSeconds: 5, diskSize: 67108864n });
    if (!snapshot) return;
    expect(() => snapshotL1(snapshot, 65536, 4194304)).toThrow('Snapshot L1 table offset invalid');
    const aligned = { ...snapshot, l1TableOffset: 0x30000n };
    expect(() => snapshotL1(aligned, 65536, 4194304)).toThrow('Snapshot L1 table too large');
  });

  test('of a table beyond 64 MiB are refused in bounded memory', async () => {
    const file = await image([[60, [...u32(65536), ...u64(0x30000n)]]]);
    const read = file.read.bind(file);
    let largest = 0;
    file.read = async (offset, buffer) => {
      largest = Math.max(largest, buffer.length);
      if (offset < 0x30000) return read(offset, buffer);
      // Every entry has the longest extra data and name.
      buffer.fill(0);
      for (let at = 0; at + 40 <= buffer.length; at += 8) buffer.set([0, 0, 4, 0], at + 4);
      new DataView(buffer.buffer, buffer.byteOffset).setUint32(36, 1024);
      new DataView(buffer.buffer, buffer.byteOffset).setUint16(14, 65535);
    };
    await expect(readSnapshotTable(file, await readHeader(file, reading))).rejects.toMatchObject({
      errno: 'EFBIG',
    });
    expect(largest).toBeLessThan(256 * 1024);
  });
});

describe.skipIf(!haveQemu)('bitmap directories', () => {
  /** Where the data of the extension and the directory begin. */
  interface BitmapPlaces {
    extension: number;
    directory: number;
  }

  async function withBitmaps(patch: (file: MemoryFile, at: BitmapPlaces) => void) {
    const file = await makeWithQemu('', '64M');
    await runQemu(file, 'qemu-img', ['bitmap', '--add', 'IMAGE', 'b1']);
    await runQemu(file, 'qemu-img', ['bitmap', '--add', 'IMAGE', 'b2']);
    const at = Buffer.from(file.bytes.subarray(0, 4096)).indexOf(Buffer.from(u32(bitmapsInfo))) + 8;
    patch(file, { extension: at, directory: Number(file.view().getBigUint64(at + 16)) });
    return file;
  }

  async function readAll(file: MemoryFile) {
    const header = await readHeader(file, reading);
    const { bitmaps } = header;
    if (bitmaps === undefined) throw new Error('the image has no bitmaps');
    const entries = await readBitmapDirectory(file, bitmaps, header.clusterSize);
    for (const entry of entries) await readBitmapTable(file, entry, header.clusterSize);
    return describeImage({ header, snapshots: [], bitmaps: entries });
  }

  test('are described as qemu-img info describes them', async () => {
    const file = await withBitmaps(() => {});
    const theirs = await runQemu(file, 'qemu-img', ['info', '--output=json', 'IMAGE']);
    const ours = await readAll(file);
    const expected = (JSON.parse(theirs.stdout) as { 'format-specific': object })['format-specific'];
    expect(ours.formatSpecific).toEqual(expected);
  });

  const unsatisfied = "Bitmap 'b1' doesn't satisfy the constraints";
  test.each<[string, (file: MemoryFile, at: BitmapPlaces) => void, string]>([
    [
      'too few',
      (f, at) => f.bytes.set(u32(3), at.extension),
      'Less bitmaps found than specified in header extension',
    ],
    [
      'too many',
      (f, at) => f.bytes.set(u32(1), at.extension),
      'More bitmaps found than specified in header extension',
    ],
    ['cut short', (f, at) => f.bytes.set(u64(56n), at.extension + 8), 'Broken bitmap directory'],
    ['no table', (f, at) => f.bytes.set(u64(0n), at.directory), unsatisfied],
    ['an unknown flag', (f, at) => f.bytes.set(u32(8), at.directory + 12), unsatisfied],
    ['an unknown type', (f, at) => f.bytes.set([2], at.directory + 16), unsatisfied],
    ['a granularity of 2^32', (f, at) => f.bytes.set([32], at.directory + 17), unsatisfied],
    [
      'the same name twice',
      (f, at) => f.bytes.set(ascii('b1'), at.directory + 32 + 24),
      'Bitmap already exists: b1',
    ],
  ])('are refused when malformed: %s', async (_, patch, message) => {
    const file = await withBitmaps(patch);
    await expect(readAll(file)).rejects.toMatchObject({ errno: 'EINVAL', message });
    const theirs = await runQemu(file, 'qemu-img', ['info', 'IMAGE']);
    expect(theirs.stderr.trim()).toBe(`qemu-img: Could not open 'IMAGE': ${message}`);
  });
});

describe('random damage', () => {
  /** An image with everything in it: data, an L2 table, a second level, and little else to be lost in. */
  async function smallImage(): Promise<MemoryFile> {
    const file = new MemoryFile();
    await createImage(file, { size: 128 * 1024, cluster_size: 512, preallocation: 'metadata' });
    return file;
  }

  const damage = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 40 });

  property.prop([damage, fc.boolean(), fc.boolean()], { numRuns: 300 })(
    'gives operating errors only, and no repair makes a file grow without bound',
    async (bytes, headerOnly, fix) => {
      const file = await smallImage();
      const length = file.bytes.length;
      for (const [at, value] of bytes) file.bytes[at % (headerOnly ? 120 : 6000)] = value;
      // Most changes of the first bytes end in the same few refusals.
      file.bytes.set([0x51, 0x46, 0x49, 0xfb, 0, 0, 0, 3], 0);
      try {
        await open(file, writing);
        const header = await readHeader(file, reading);
        describeImage({ header, snapshots: [], bitmaps: [] });
      } catch (error) {
        expect(error).toBeInstanceOf(BlockError);
      }
      try {
        const result = await checkImage(file, { fix: { leaks: fix, errors: fix }, report: () => {} });
        // A longer file makes references valid that were not.
        if (fix && file.bytes.length === length) {
          const again = await checkImage(file, { fix: { leaks: false, errors: false }, report: () => {} });
          expect(again.corruptions).toBeLessThanOrEqual(result.corruptions);
        }
      } catch (error) {
        expect(error).toBeInstanceOf(BlockError);
      }
      expect(file.bytes.length).toBeLessThan(4 * length + 16 * 1024 * 1024);
    },
  );
});
