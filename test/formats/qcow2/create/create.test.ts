import { describe, expect, test } from 'vitest';
import { BlockError } from '../../../../host/base/errors.ts';
import type { CreateValues } from '../../../../host/block/driver.ts';
import { createImage, qcow2Create } from '../../../../host/formats/qcow2/create/create.ts';
import { readHeader } from '../../../../host/formats/qcow2/disk/header.ts';
import { haveQemu } from '../../../support/tools.ts';
import { MemoryFile, makeWithQemu, runQemu } from '../memory-file.ts';

const flags = { readOnly: false, check: false, noIo: false };

async function make(values: CreateValues): Promise<MemoryFile> {
  const file = new MemoryFile();
  await createImage(file, values);
  return file;
}

/** `k=v,…` as qemu-img takes it, in the types that createImage gets. */
function parseOptions(text: string): CreateValues {
  const values: Record<string, string | number | boolean> = {};
  for (const item of text.split(',').filter((part) => part !== '')) {
    const [name = '', value = ''] = item.split('=');
    const type = qcow2Create.options.find((option) => option.name === name)?.type;
    values[name] = type === 'bool' ? value === 'on' : type === 'string' ? value : Number(value);
  }
  return values;
}

describe('createImage', () => {
  test('makes an empty image whose fields are the defaults', async () => {
    const file = await make({ size: 64 * 1024 * 1024 });
    const header = await readHeader(file, flags);
    expect(header).toMatchObject({
      version: 3,
      clusterSize: 65536,
      size: 64 * 1024 * 1024,
      l1Size: 1,
      l1TableOffset: 0x30000,
      refcountTableOffset: 0x10000,
      refcountTableClusters: 1,
      refcountOrder: 4,
      compressionType: 'zlib',
      headerLength: 112,
      backingFile: undefined,
    });
    expect(file.bytes.length).toBe(0x30008);
    expect([...file.bytes.subarray(0x20000, 0x2000a)]).toEqual([0, 1, 0, 1, 0, 1, 0, 1, 0, 0]);
  });

  test('writes the header last, after everything it points to is durable', async () => {
    const file = await make({ size: 1024 * 1024, preallocation: 'metadata' });
    const [tables, header] = file.epochs;
    expect(tables?.every(({ offset }) => offset > 0)).toBe(true);
    expect(header?.map(({ offset }) => offset)).toEqual([0]);
  });

  test('rounds the size up to 512', async () => {
    expect((await readHeader(await make({ size: 1 }), flags)).size).toBe(512);
  });

  test.each([
    ['cluster_size=300', 'Cluster size must be a power of two between 512 and 2048k'],
    ['cluster_size=4194304', 'Cluster size must be a power of two between 512 and 2048k'],
    ['compat=foo', "Parameter 'version' does not accept value 'foo'"],
    [
      'compat=0.10,refcount_bits=8',
      'Different refcount widths than 16 bits require compatibility level 1.1 or above (use version=v3 or greater)',
    ],
    [
      'compat=0.10,lazy_refcounts=on',
      'Lazy refcounts only supported with compatibility level 1.1 and above (use version=v3 or greater)',
    ],
    [
      'compat=v2,compression_type=zstd',
      'Non-zlib compression type is only supported with compatibility level 1.1 and above (use version=v3 or greater)',
    ],
    ['refcount_bits=3', 'Refcount width must be a power of two and may not exceed 64 bits'],
    ['refcount_bits=128', 'Refcount width must be a power of two and may not exceed 64 bits'],
    ['preallocation=zz', "Parameter 'preallocation' does not accept value 'zz'"],
    ['compression_type=lz4', "Parameter 'compression-type' does not accept value 'lz4'"],
    ['backing_fmt=raw', 'Backing format cannot be used without backing file'],
    ['data_file_raw=on', 'data-file-raw requires data-file'],
    [
      'extended_l2=on,cluster_size=8192',
      'Extended L2 entries are only supported with cluster sizes of at least 16384 bytes',
    ],
    [
      'preallocation=full,backing_file=b,backing_fmt=raw',
      'Backing file and preallocation can only be used at the same time if extended_l2 is on',
    ],
  ])('refuses %s as qemu-img does', async (options, message) => {
    const file = new MemoryFile();
    const error = await createImage(file, { size: 1048576, ...parseOptions(options) }).catch(
      (e: unknown) => e,
    );
    expect(error).toBeInstanceOf(BlockError);
    expect(error).toMatchObject({ errno: 'EINVAL', message });
    expect(file.bytes.length).toBe(0);
    if (!haveQemu) return;
    const result = await runQemu(file, 'qemu-img', [
      'create',
      '-u',
      '-q',
      '-f',
      'qcow2',
      '-o',
      options,
      'IMAGE',
      '1M',
    ]);
    expect(result.stderr.trim()).toBe(`qemu-img: IMAGE: ${message}`);
  });

  test.each(['extended_l2=on', 'data_file=d'])('refuses %s by name', async (options) => {
    const name = options.split('=')[0];
    await expect(make({ size: 1048576, ...parseOptions(options) })).rejects.toMatchObject({
      errno: 'ENOTSUP',
      message: `Parameter '${name}' is not supported`,
    });
  });

  test('refuses a size that needs an L1 table beyond 32 MiB', async () => {
    await expect(make({ size: 2 ** 51 + 512 })).rejects.toMatchObject({
      errno: 'EFBIG',
      message: 'Could not resize image: Failed to grow the L1 table: File too large',
    });
  });

  test('refuses a backing file name that does not fit in the first cluster', async () => {
    const values = { size: 1048576, cluster_size: 512, backing_fmt: 'raw' };
    await make({ ...values, backing_file: 'a'.repeat(376) });
    await expect(make({ ...values, backing_file: 'a'.repeat(377) })).rejects.toMatchObject({
      errno: 'ENOSPC',
    });
    await expect(make({ size: 512, backing_file: 'a'.repeat(1024) })).rejects.toMatchObject({
      errno: 'EINVAL',
    });
  });
});

describe.skipIf(!haveQemu)('createImage beside qemu-img create', () => {
  test.each([
    ['', 67108864],
    ['', 0],
    ['', 512],
    ['compat=0.10', 67108864],
    ['cluster_size=512', 1048576],
    ['cluster_size=4096,refcount_bits=1', 1048576],
    ['cluster_size=8192,refcount_bits=64', 1048576],
    ['cluster_size=2097152,refcount_bits=32', 1073741824],
    ['refcount_bits=2,lazy_refcounts=on', 10485760],
    ['refcount_bits=4', 10737418240],
    ['compression_type=zstd', 10485760],
    ['backing_file=base.raw,backing_fmt=raw', 10485760],
    ['compat=0.10,backing_file=some/where/base.qcow2,backing_fmt=qcow2', 10485760],
    ['cluster_size=512,backing_file=b,backing_fmt=qcow2', 10485760],
    ['', 2 ** 46],
  ])('is byte for byte the same for %j and %d bytes', async (options, size) => {
    const ours = await make({ size, ...parseOptions(options) });
    const theirs = await makeWithQemu(options, String(size));
    expect(ours.bytes.length).toBe(theirs.bytes.length);
    expect(Buffer.compare(ours.bytes, theirs.bytes)).toBe(0);
  });

  test.each([
    'preallocation=metadata',
    'preallocation=falloc',
    'preallocation=full',
    'preallocation=metadata,cluster_size=512',
    'preallocation=metadata,cluster_size=512,refcount_bits=1',
    'preallocation=metadata,cluster_size=512,refcount_bits=64',
    'preallocation=metadata,cluster_size=4096,refcount_bits=2',
    'preallocation=metadata,compat=0.10',
  ])('makes an image with %s that qemu-img finds clean and fully allocated', async (options) => {
    const size = 1048576 + 512;
    const file = await make({ size, ...parseOptions(options) });
    const check = await runQemu(file, 'qemu-img', ['check', '--output=json', 'IMAGE']);
    expect(check.status).toBe(0);
    const facts = JSON.parse(check.stdout) as Record<string, number>;
    expect(facts['allocated-clusters']).toBe(facts['total-clusters']);
    expect(facts['image-end-offset']).toBe(file.bytes.length);
    const read = await runQemu(file, 'qemu-io', ['-f', 'qcow2', '-c', `read -P 0 0 ${size}`, 'IMAGE']);
    expect(read.status).toBe(0);
  });

  test('an L1 table that needs many refcount blocks passes qemu-img check', async () => {
    const file = await make({ size: 2 ** 34, cluster_size: 512 });
    const check = await runQemu(file, 'qemu-img', ['check', 'IMAGE']);
    expect(check.status).toBe(0);
  });
});
