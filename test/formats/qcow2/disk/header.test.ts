import { fc, test as property } from '@fast-check/vitest';
import { describe, expect, test } from 'vitest';
import { createImage } from '../../../../host/formats/qcow2/create/create.ts';
import { extensionType } from '../../../../host/formats/qcow2/disk/extensions.ts';
import { autoclear, incompatible } from '../../../../host/formats/qcow2/disk/feature-bits.ts';
import { readHeader, serializeHeader } from '../../../../host/formats/qcow2/disk/header.ts';
import { prepareForWriting, updateHeader } from '../../../../host/formats/qcow2/disk/header-update.ts';
import { haveQemu } from '../../../support/tools.ts';
import { MemoryFile, runQemu } from '../memory-file.ts';

const flags = { readOnly: false, check: false, noIo: false };

async function make(values: Record<string, string | number | boolean> = {}): Promise<MemoryFile> {
  const file = new MemoryFile();
  await createImage(file, { size: 10 * 1024 * 1024, ...values });
  file.epochs.splice(0, file.epochs.length, []);
  return file;
}

/** Writes an extension area into cluster 0. */
function putExtensions(file: MemoryFile, records: [type: number, data: Uint8Array][]): void {
  let at = 112;
  for (const [type, data] of records) {
    file.view().setUint32(at, type);
    file.view().setUint32(at + 4, data.length);
    file.bytes.set(data, at + 8);
    at += 8 + Math.ceil(data.length / 8) * 8;
  }
  file.bytes.fill(0, at, at + 8);
}

describe('serializeHeader', () => {
  test.each([
    {},
    { compat: '0.10' },
    { cluster_size: 512, backing_file: 'base', backing_fmt: 'raw' },
    { backing_file: 'b'.repeat(1023), backing_fmt: 'qcow2', compression_type: 'zstd', lazy_refcounts: true },
    { refcount_bits: 64, cluster_size: 2097152 },
  ])('gives back the bytes that were parsed: %j', async (values) => {
    const file = await make(values);
    const bytes = serializeHeader(await readHeader(file, flags));
    expect(Buffer.compare(bytes, file.bytes.subarray(0, bytes.length))).toBe(0);
    expect(file.bytes.subarray(bytes.length, 512).every((byte) => byte === 0)).toBe(true);
  });

  test('keeps unknown fields and unknown extensions, in order', async () => {
    const file = await make();
    file.view().setUint32(100, 128);
    file.bytes.fill(0xab, 112, 128);
    let at = 128;
    for (const type of [0x11111111, 0x22222222]) {
      file.view().setUint32(at, type);
      file.view().setUint32(at + 4, 3);
      file.bytes.set([type & 0xff, 2, 3, 0, 0, 0, 0, 0], at + 8);
      at += 16;
    }
    file.bytes.fill(0, at, 512);
    const before = file.bytes.slice(0, 512);
    const header = await updateHeader(file, { setIncompatible: incompatible.dirty });
    expect(header.extensions.map(({ type }) => type)).toEqual([0x11111111, 0x22222222]);
    before[79] = 1;
    expect(Buffer.compare(file.bytes.slice(0, 512), before)).toBe(0);
  });
});

describe('updateHeader', () => {
  test('changes one sector with one write and one flush', async () => {
    const file = await make();
    const header = await updateHeader(file, {
      setIncompatible: incompatible.dirty,
      l1Table: { offset: 0x40000, entries: 5 },
    });
    expect(header.incompatibleFeatures).toBe(incompatible.dirty);
    expect(header).toMatchObject({ l1TableOffset: 0x40000, l1Size: 5 });
    expect(file.epochs.map((writes) => writes.map(({ offset, bytes }) => [offset, bytes.length]))).toEqual([
      [[0, 512]],
      [],
    ]);
  });

  test('writes nothing when nothing changes', async () => {
    const file = await make();
    await updateHeader(file, { clearIncompatible: incompatible.dirty, clearAutoclear: autoclear.bitmaps });
    expect(file.epochs).toEqual([[]]);
  });

  test('keeps what the core changed on disk meanwhile', async () => {
    const file = await make();
    file.view().setUint32(56, 7);
    const header = await updateHeader(file, { setIncompatible: incompatible.corrupt });
    expect(header.refcountTableClusters).toBe(7);
  });

  test('sets, replaces and removes the backing file', async () => {
    const file = await make();
    await updateHeader(file, { backing: { filename: 'one.raw', format: 'raw' } });
    expect(await readHeader(file, flags)).toMatchObject({ backingFile: 'one.raw', backingFormat: 'raw' });
    await updateHeader(file, { backing: { filename: 'two.qcow2', format: 'qcow2' } });
    expect(await readHeader(file, flags)).toMatchObject({ backingFile: 'two.qcow2', backingFormat: 'qcow2' });
    await updateHeader(file, { backing: null });
    expect(await readHeader(file, flags)).toMatchObject({ backingFile: undefined, backingFormat: undefined });
  });

  test('refuses a name that does not fit, and leaves the image alone', async () => {
    const file = await make({ cluster_size: 512 });
    const before = file.bytes.slice();
    const change = updateHeader(file, { backing: { filename: 'x'.repeat(400), format: 'raw' } });
    await expect(change).rejects.toMatchObject({ errno: 'ENOSPC' });
    expect(Buffer.compare(file.bytes, before)).toBe(0);
  });

  const names = fc.record({
    oldName: fc.integer({ min: 1, max: 1023 }),
    newName: fc.integer({ min: 1, max: 1023 }),
    oldFormat: fc.constantFrom('raw', 'qcow2', undefined),
    newFormat: fc.constantFrom('raw', 'qcow2', undefined),
    cluster_size: fc.constantFrom(4096, 65536),
  });

  property.prop([names, fc.infiniteStream(fc.boolean())])(
    'a crash while the backing file changes leaves the old one or the new one',
    async ({ oldName, newName, oldFormat, newFormat, cluster_size }, coins) => {
      const oldFile = { backingFile: 'o'.repeat(oldName), backingFormat: oldFormat };
      const newFile = { backingFile: 'n'.repeat(newName), backingFormat: newFormat };
      const file = await make({
        cluster_size,
        backing_file: oldFile.backingFile,
        ...(oldFormat ? { backing_fmt: oldFormat } : {}),
      });
      const before = file.bytes.slice();
      await updateHeader(file, { backing: { filename: newFile.backingFile, format: newFile.backingFormat } });
      const outcomes = [oldFile, newFile];
      const durable = new MemoryFile(before);
      for (const epoch of file.epochs) {
        // Of the writes since the last flush, any sectors may have arrived.
        const crashed = new MemoryFile(durable.bytes.slice());
        for (const { offset, bytes } of epoch) {
          for (let at = 0; at < bytes.length; at += 512) {
            if (coins.next().value) crashed.bytes.set(bytes.subarray(at, at + 512), offset + at);
          }
        }
        const header = await readHeader(crashed, flags);
        expect(outcomes).toContainEqual({
          backingFile: header.backingFile,
          backingFormat: header.backingFormat,
        });
        for (const { offset, bytes } of epoch) durable.bytes.set(bytes, offset);
      }
    },
  );

  test('drops extensions and clears autoclear bits', async () => {
    const file = await make();
    const data = new Uint8Array(24);
    data[3] = 1;
    data[15] = 32;
    data[21] = 4;
    putExtensions(file, [
      [extensionType.bitmaps, data],
      [0x12345678, new Uint8Array([1, 2])],
    ]);
    file.bytes[95] = 0x81;
    const header = await updateHeader(file, {
      clearAutoclear: autoclear.bitmaps | 0x80n,
      dropExtensions: [extensionType.bitmaps],
    });
    expect(header.autoclearFeatures).toBe(0n);
    expect(header.bitmaps).toBeUndefined();
    expect(header.extensions).toEqual([{ type: 0x12345678, data: new Uint8Array([1, 2]) }]);
  });
});

describe('prepareForWriting', () => {
  const bitmaps = new Uint8Array(24);
  bitmaps.set([0, 0, 0, 1]);
  bitmaps[15] = 32;
  bitmaps[21] = 4;

  test('writes nothing when no autoclear bit is set', async () => {
    const file = await make();
    const header = await readHeader(file, flags);
    expect(await prepareForWriting(file, header)).toBe(header);
    expect(file.epochs).toEqual([[]]);
  });

  test('clears the bits of features that it does not keep up to date', async () => {
    for (const hasBitmaps of [true, false]) {
      const file = await make();
      if (hasBitmaps) putExtensions(file, [[extensionType.bitmaps, bitmaps]]);
      file.bytes[95] = 0x81;
      const header = await prepareForWriting(file, await readHeader(file, flags));
      expect(header.autoclearFeatures).toBe(hasBitmaps ? autoclear.bitmaps : 0n);
      expect(header.bitmaps !== undefined).toBe(hasBitmaps);
      expect(await readHeader(file, flags)).toEqual(header);
    }
  });

  test('drops a bitmaps extension that somebody made stale', async () => {
    const file = await make();
    putExtensions(file, [[extensionType.bitmaps, bitmaps]]);
    const header = await prepareForWriting(file, await readHeader(file, flags));
    expect(header.bitmaps).toBeUndefined();
    expect(header.extensions).toEqual([]);
  });
});

describe.skipIf(!haveQemu)('headers beside QEMU', () => {
  test('qemu-img reads the backing file that was set here', async () => {
    const file = await make();
    await updateHeader(file, { backing: { filename: 'some/base.qcow2', format: 'qcow2' } });
    const info = await runQemu(file, 'qemu-img', ['info', '--output=json', 'IMAGE']);
    expect(JSON.parse(info.stdout)).toMatchObject({
      'backing-filename': 'some/base.qcow2',
      'backing-filename-format': 'qcow2',
    });
    await updateHeader(file, { backing: { filename: 'other.raw', format: 'raw' } });
    const again = await runQemu(file, 'qemu-img', ['info', '--output=json', 'IMAGE']);
    expect(JSON.parse(again.stdout)).toMatchObject({
      'backing-filename': 'other.raw',
      'backing-filename-format': 'raw',
    });
  });
});
