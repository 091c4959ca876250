/** The parts of a repository's format: what is written is read, and what is not right is refused in words. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BlobIndex } from '../../host/store/blob-index.ts';
import { makeKeys, sealKeys, unsealKeys } from '../../host/store/key-file.ts';
import { decodeTable, encodeTable, type PackedBlob } from '../../host/store/pack.ts';
import { indexDocument, parseIndex } from '../../host/store/repository-index.ts';
import { seal, sealingBytes, unseal } from '../../host/store/sealing.ts';
import { encodeTree, parseTree } from '../../host/store/snapshot.ts';
import { owner, password, platform } from './world.ts';

const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
const idOf = (seed: number): Uint8Array =>
  Uint8Array.from({ length: 32 }, (_, i) => (seed * (i + 7)) >>> (i % 5));

describe('sealing', () => {
  const keys = makeKeys(platform);

  test('is undone by the same keys, and never the same twice', async () => {
    for (const length of [0, 1, 15, 16, 17, 100_000]) {
      const plain = new Uint8Array(length).fill(7);
      const sealed = await seal(platform, keys, plain);
      expect(sealed.length).toBe(length + sealingBytes);
      expect([...(await unseal(platform, keys, sealed))]).toEqual([...plain]);
      expect(await seal(platform, keys, plain)).not.toEqual(sealed);
    }
  });

  test('is not undone when a bit is another, or something is missing, or by other keys', async () => {
    const sealed = await seal(platform, keys, new Uint8Array(40));
    for (let at = 0; at < sealed.length; at++) {
      const changed = sealed.slice();
      changed[at]! ^= 1;
      await expect(unseal(platform, keys, changed)).rejects.toThrow('authentication code');
      await expect(unseal(platform, keys, sealed.subarray(0, at))).rejects.toThrow('authentication code');
    }
    await expect(unseal(platform, makeKeys(platform), sealed)).rejects.toThrow('authentication code');
    await expect(unseal(platform, keys, new Uint8Array(64))).rejects.toThrow('authentication code');
  });
});

describe('a key file', () => {
  test('is opened by its password only', async () => {
    const keys = makeKeys(platform);
    const file = await sealKeys(platform, keys, password, owner, '2026-01-01T00:00:00Z');
    const opened = await unsealKeys(platform, file, password, 'key');
    expect(opened).toEqual(keys);
    expect(await unsealKeys(platform, file, 'other', 'key')).toBeUndefined();
  });

  test('that would cost too much to open is refused, and one that is none', async () => {
    const file = JSON.parse(
      new TextDecoder().decode(await sealKeys(platform, makeKeys(platform), password, owner, 'now')),
    );
    for (const wrong of [
      { N: 2 ** 24 },
      { N: 3 },
      { N: 0 },
      { r: 1e9 },
      { p: 1e6 },
      { kdf: 'argon2' },
      { salt: 'AAAA' },
      { data: '%' },
    ])
      await expect(unsealKeys(platform, json({ ...file, ...wrong }), password, 'key x')).rejects.toThrow(
        'key x',
      );
    await expect(unsealKeys(platform, json([]), password, 'key x')).rejects.toThrow(
      'key x is no JSON object',
    );
    await expect(unsealKeys(platform, new Uint8Array([1, 2]), password, 'key x')).rejects.toThrow(
      'key x is not JSON',
    );
  });
});

const blob = fc.record({
  kind: fc.constantFrom<'data' | 'tree'>('data', 'tree'),
  id: fc.integer().map(idOf),
  length: fc.integer({ min: 32, max: 1 << 20 }),
  plainLength: fc.option(fc.integer({ min: 1, max: 1 << 20 }), { nil: undefined }),
});
/** Of those lengths, one after the other. */
const packed = fc.array(blob, { maxLength: 30 }).map((blobs) => {
  let offset = 0;
  return blobs.map((item): PackedBlob => {
    const at = offset;
    offset += item.length;
    return { ...item, offset: at };
  });
});

describe('the table of a pack, and an index', () => {
  test('say where each blob is', () => {
    fc.assert(
      fc.property(packed, (blobs) => {
        expect(decodeTable(encodeTable(blobs))).toEqual(blobs);
        const pack = { id: 'ab'.repeat(32), blobs };
        expect([...parseIndex(json(indexDocument([pack])), 'index')]).toEqual([pack]);
      }),
    );
  });

  test('are refused when they end too early, or have what nobody knows', () => {
    const table = encodeTable([{ kind: 'data', id: idOf(1), offset: 0, length: 40, plainLength: 9 }]);
    for (let end = 1; end < table.length; end++)
      expect(() => decodeTable(table.subarray(0, end))).toThrow('its table');
    expect(() => decodeTable(Uint8Array.of(9, ...table.subarray(1)))).toThrow('blob of type 9');
  });

  test('of hostile numbers are refused', () => {
    const good = { id: 'ab'.repeat(32), type: 'data', offset: 0, length: 40 };
    for (const wrong of [
      ...[
        { id: 'x' },
        { type: 'other' },
        { offset: -1 },
        { offset: 2 ** 40 },
        { length: 31 },
        { length: 2 ** 31 },
      ],
      ...[{ length: 17e6 }, { uncompressed_length: 17e6 }, { uncompressed_length: 1.5 }, { offset: '0' }],
    ]) {
      const index = { packs: [{ id: 'cd'.repeat(32), blobs: [{ ...good, ...wrong }] }] };
      expect(() => [...parseIndex(json(index), 'index')], JSON.stringify(wrong)).toThrow('index');
    }
    expect(() => [...parseIndex(json({ packs: 7 }), 'index')]).toThrow("'packs'");
  });
});

test('an index of many blobs finds each, and none that is not there', () => {
  const index = new BlobIndex();
  const count = 20_000;
  for (let i = 0; i < count; i++)
    index.add(idOf(i * 2), { pack: i % 7, offset: i, length: 40, plainLength: i % 3 ? i : undefined });
  index.add(idOf(0), { pack: 6, offset: 1, length: 1, plainLength: 1 });
  const distinct = new Set(Array.from({ length: count }, (_, i) => Buffer.from(idOf(i * 2)).toString('hex')))
    .size;
  expect(index.size).toBe(distinct);
  expect(index.find(idOf(0))).toEqual({ pack: 0, offset: 0, length: 40, plainLength: undefined });
  expect(index.find(Uint8Array.from({ length: 32 }, () => 255))).toBeUndefined();
  expect(index.has(idOf(2))).toBe(true);
});

test('a tree has its nodes in order, and what is no file or folder is left out', () => {
  const file = {
    type: 'file' as const,
    name: 'b.raw',
    size: 3,
    modified: '2026-01-01T00:00:00Z',
    content: idOf(5),
  };
  const folder = {
    type: 'dir' as const,
    name: 'a',
    modified: '2026-01-01T00:00:00Z',
    subtree: 'ef'.repeat(32),
  };
  expect(parseTree(encodeTree([file, folder], owner), 'tree')).toEqual([folder, file]);
  expect(parseTree(json({ nodes: [{ type: 'symlink', name: 'x' }] }), 'tree')).toEqual([]);
  expect(() => parseTree(json({ nodes: [{ type: 'file', name: 'x', content: ['zz'] }] }), 'tree')).toThrow(
    'tree: x',
  );
});
