import { describe, expect, test } from 'vitest';
import { defaultCaches } from '../../../host/formats/qcow2/caches.ts';
import { createImage } from '../../../host/formats/qcow2/create/create.ts';
import { type Qcow2Header, readHeader } from '../../../host/formats/qcow2/disk/header.ts';
import { chooseCaches } from '../../../host/formats/qcow2/live/cache-options.ts';
import { type Qcow2Options, resolveOptions } from '../../../host/formats/qcow2/options.ts';
import { kib, mib } from '../../support/units.ts';
import { MemoryFile } from './memory-file.ts';

const GiB = 1024 * mib;

async function headerOf(values: Record<string, string | number | boolean>): Promise<Qcow2Header> {
  const file = new MemoryFile();
  await createImage(file, { size: GiB, ...values });
  return readHeader(file, { readOnly: false, check: false, noIo: false });
}

async function resolve(options: Qcow2Options, values: Record<string, string | number | boolean> = {}) {
  const header = await headerOf(values);
  return resolveOptions(options, header, { discard: false, caches: chooseCaches(options, header) });
}

describe('cache sizes', () => {
  const caches = async (options: Qcow2Options, size = GiB) => (await resolve(options, { size })).caches;

  test('by default cover the whole disk, cluster by cluster', async () => {
    expect(await caches({})).toMatchObject({ l2EntryBytes: 65536, l2EntryCount: 2, refcountEntryCount: 4 });
  });

  test.each([0, 1, mib, GiB, 1024 * GiB])(
    'are the same for %i bytes when nobody says anything',
    async (size) => {
      const header = await headerOf({ size });
      expect(chooseCaches({}, header)).toEqual(defaultCaches(header));
    },
  );

  test('by default stop at 32 MiB, in small entries', async () => {
    expect(await caches({}, 1024 * GiB)).toMatchObject({
      l2EntryBytes: 4096,
      l2EntryCount: (32 * mib) / 4096,
      refcountEntryCount: 4,
    });
  });

  test('never get fewer than two L2 entries and four refcount blocks', async () => {
    expect(await caches({ 'l2-cache-size': 0, 'refcount-cache-size': 0 })).toMatchObject({
      l2EntryBytes: 4096,
      l2EntryCount: 2,
      refcountEntryCount: 4,
    });
  });

  test('of a total give the L2 cache what it needs and refcounts the rest', async () => {
    expect(await caches({ 'cache-size': 4 * mib })).toMatchObject({
      l2EntryBytes: 65536,
      l2EntryCount: 2,
      refcountEntryCount: 62,
    });
  });

  test('of a small total give refcounts their minimum', async () => {
    expect(await caches({ 'cache-size': 300 * kib })).toMatchObject({
      l2EntryCount: (300 * kib - 256 * kib) / 4096,
      refcountEntryCount: 4,
    });
  });

  test('of a total with one part given, the other part is the rest', async () => {
    expect(await caches({ 'cache-size': 2 * mib, 'l2-cache-size': mib })).toMatchObject({
      refcountEntryCount: 16,
    });
    expect(await caches({ 'cache-size': 2 * mib, 'refcount-cache-size': 2 * mib - 64 * kib })).toMatchObject({
      l2EntryBytes: 4096,
      l2EntryCount: 16,
    });
  });
});

describe('overlap checks', () => {
  const mask = async (value: Qcow2Options['overlap-check']) =>
    (await resolve(value === undefined ? {} : { 'overlap-check': value })).overlapMask;

  test('default to everything that needs no reads', async () => {
    expect(await mask(undefined)).toBe(0b101111111);
  });

  test('follow the template', async () => {
    expect(await mask('none')).toBe(0);
    expect(await mask('constant')).toBe(0b100101011);
    expect(await mask({ template: 'all' })).toBe(0b111111111);
  });

  test('can be switched one by one', async () => {
    expect(await mask({ template: 'none', 'active-l2': true })).toBe(0b100);
    expect(await mask({ 'main-header': false })).toBe(0b101111110);
  });
});

test('lazy refcounts follow the image unless the option says otherwise', async () => {
  expect((await resolve({}, { lazy_refcounts: true })).lazyRefcounts).toBe(true);
  expect((await resolve({ 'lazy-refcounts': false }, { lazy_refcounts: true })).lazyRefcounts).toBe(false);
  expect((await resolve({ 'lazy-refcounts': true })).lazyRefcounts).toBe(true);
});

test.each<[Qcow2Options, string]>([
  [
    { 'cache-size': mib, 'l2-cache-size': mib, 'refcount-cache-size': mib },
    'cache-size, l2-cache-size and refcount-cache-size may not be set at the same time',
  ],
  [{ 'cache-size': mib, 'l2-cache-size': 2 * mib }, 'l2-cache-size may not exceed cache-size'],
  [{ 'cache-size': mib, 'refcount-cache-size': 2 * mib }, 'refcount-cache-size may not exceed cache-size'],
  [
    { 'l2-cache-entry-size': 300 },
    'L2 cache entry size must be a power of two between 512 and the cluster size (65536)',
  ],
  [
    { 'l2-cache-entry-size': 131072 },
    'L2 cache entry size must be a power of two between 512 and the cluster size (65536)',
  ],
  [{ 'cache-clean-interval': 2 ** 32 }, 'Cache clean interval too big'],
  [{ 'refcount-cache-size': 2 ** 51 }, 'Refcount cache size too big'],
  [{ encrypt: { format: 'luks' } }, "No encryption in image header, but options specified format 'luks'"],
  [{ 'data-file': 'x' }, "'data-file' can only be set for images with an external data file"],
])('%j is refused in the words of QEMU', async (options, message) => {
  await expect(resolve(options)).rejects.toMatchObject({ errno: 'EINVAL', message });
});

test('lazy refcounts are refused for version 2', async () => {
  await expect(resolve({ 'lazy-refcounts': true }, { compat: 'v2' })).rejects.toMatchObject({
    errno: 'EINVAL',
    message: 'Lazy refcounts require a qcow2 image with at least qemu 1.1 compatibility level',
  });
});

test('a cache that nobody could have is refused, and a larger one than can be had is as large as can be', async () => {
  await expect(resolve({ 'refcount-cache-size': 2 ** 40 })).rejects.toMatchObject({ errno: 'ENOMEM' });
  const { caches } = await resolve({ 'refcount-cache-size': 2 ** 32 });
  expect(caches.refcountEntryCount).toBe(2 ** 30 / 65536);
});

test('the caches are not cleaned unless somebody asks for it', async () => {
  expect((await resolve({})).caches.keepClean).toBeUndefined();
  expect((await resolve({ 'cache-clean-interval': 600 })).caches.keepClean).toBeDefined();
});
