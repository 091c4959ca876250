/**
 * What somebody who has the password can put into a repository: each limit is kept, by the check and by the driver, with an error in
 * words and nothing served that was not backed up.
 */
import { describe, expect, test } from 'vitest';
import { BlockError } from '../../host/base/errors.ts';
import { objectTableOf } from '../../host/block/object-table.ts';
import { Perm } from '../../host/block/permissions.ts';
import { drivers } from '../../host/drivers.ts';
import { createGraph } from '../../host/graph.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import { checkRepository } from '../../host/store/check.ts';
import { toHex } from '../../host/store/ids.ts';
import { makeKeys, sealKeys } from '../../host/store/key-file.ts';
import type { MemoryStore } from '../../host/store/object-store.ts';
import { encodeTable, packTail } from '../../host/store/pack.ts';
import { Repository } from '../../host/store/repository.ts';
import { packNameOf } from '../../host/store/repository-index.ts';
import { seal, sealingBytes } from '../../host/store/sealing.ts';
import { attachAlone } from '../support/attach.ts';
import { filesOf, withFolder } from './folder-of.ts';
import { backUp, diskContent, newRepository, owner, password, platform } from './world.ts';

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

interface Entry {
  id: string;
  type: string;
  offset: number;
  length: number;
  uncompressed_length?: number;
}

/** Somebody who writes whatever they like. */
class Writer {
  private readonly entries: Entry[] = [];
  private readonly parts: Uint8Array[] = [];
  private bytes = 0;

  constructor(
    readonly repository: Repository,
    readonly store: MemoryStore,
  ) {}

  /** What is sealed is `stored`, and what the index says of it, too. */
  async blob(
    type: 'data' | 'tree',
    plain: Uint8Array,
    lie: Partial<Entry> = {},
    stored = plain,
  ): Promise<string> {
    const { sealer } = this.repository;
    const sealed = await seal(sealer, sealer.keys, stored);
    const id = toHex(await sealer.hashes.sha256(plain));
    this.entries.push({ id, type, offset: this.bytes, length: sealed.length, ...lie });
    this.parts.push(sealed);
    this.bytes += sealed.length;
    return id;
  }

  tree(nodes: readonly object[]): Promise<string> {
    return this.blob('tree', encode(JSON.stringify({ nodes })));
  }

  /** The snapshot has the disk `m/hda`, and everything that was said is in one pack. */
  async finish(file: object): Promise<void> {
    const folder = await this.tree([{ name: 'hda', type: 'file', ...file }]);
    await this.finishWith(await this.tree([{ name: 'm', type: 'dir', subtree: folder }]));
  }

  async finishWith(tree: string): Promise<void> {
    const { sealer } = this.repository;
    const blobs = this.entries.map(({ id, type, offset, length }) => ({
      ...{ kind: type as 'data', id: Uint8Array.from(Buffer.from(id, 'hex')), offset, length },
      plainLength: undefined,
    }));
    const tail = packTail(await seal(sealer, sealer.keys, encodeTable(blobs)));
    const pack = Buffer.concat([...this.parts, tail]);
    const id = toHex(await sealer.hashes.sha256(pack));
    this.store.files.set(packNameOf(id), pack);
    await this.repository.put('index', { packs: [{ id, blobs: this.entries }] });
    await this.snapshot({ tree });
  }

  snapshot(members: object): Promise<string> {
    const usual = { time: '2026-01-01T00:00:00Z', paths: ['/m'], hostname: 'm' };
    return this.repository.put('snapshots', { ...usual, ...members } as never);
  }

  /** A file that is compressed as documents are. */
  async document(folder: string, json: Uint8Array): Promise<void> {
    const { sealer } = this.repository;
    const frame = (await sealer.zstd.compress(json, Number.POSITIVE_INFINITY))!; // no limit
    const sealed = await seal(sealer, sealer.keys, Buffer.concat([Uint8Array.of(2), frame]));
    this.store.files.set(`${folder}/${toHex(await sealer.hashes.sha256(sealed))}`, sealed);
  }
}

const frameOf = async (content: Uint8Array): Promise<Uint8Array> =>
  (await platform.zstd.compress(content, Number.POSITIVE_INFINITY))!; // no limit
/** It says that it holds 4 GiB, and has one empty block. */
const boastingFrame = Uint8Array.from(Buffer.from('28b52ffde00000000001000000010000', 'hex'));
const zeros = new Uint8Array(512);

const cases: readonly (readonly [string, (writer: Writer) => Promise<void>, RegExp])[] = [
  [
    'a chunk that gives more than it says',
    async (writer) => {
      const content = diskContent(1 << 20, 1);
      const lie = { uncompressed_length: 512 };
      const id = await writer.blob('data', content, lie, await frameOf(content));
      await writer.finish({ size: 512, content: [id] });
    },
    /Input\/output error/,
  ],
  [
    'a chunk that says it would give 4 GiB',
    async (writer) => {
      const id = await writer.blob('data', zeros, { uncompressed_length: 4096 }, boastingFrame);
      await writer.finish({ size: 4096, content: [id] });
    },
    /Input\/output error/,
  ],
  [
    'a chunk that is another',
    async (writer) => {
      const id = await writer.blob('data', zeros.slice().fill(1), {}, zeros.slice().fill(2));
      await writer.finish({ size: 512, content: [id] });
    },
    /is not what its id says/,
  ],
  [
    'a chunk behind the end of its pack',
    async (writer) => {
      const id = await writer.blob('data', diskContent(512, 1), { offset: 1 << 20 });
      await writer.finish({ size: 512, content: [id] });
    },
    /ends at/,
  ],
  [
    'a chunk that is too short to be sealed',
    async (writer) => {
      const id = await writer.blob('data', zeros, { length: sealingBytes - 1 });
      await writer.finish({ size: 512, content: [id] });
    },
    /has a blob of 31 bytes/,
  ],
  [
    'a chunk of 4 GiB, as the index has it',
    async (writer) => {
      const id = await writer.blob('data', zeros, { uncompressed_length: 2 ** 32 });
      await writer.finish({ size: 2 ** 32, content: [id] });
    },
    /'uncompressed_length' is missing or not what it is to be/,
  ],
  [
    'a folder of 1 GiB, as the index has it',
    async (writer) => {
      await writer.blob('tree', zeros, { uncompressed_length: 2 ** 30 });
      await writer.finish({ size: 0, content: [] });
    },
    /'uncompressed_length' is missing or not what it is to be/,
  ],
  [
    'a place beyond any pack',
    async (writer) => {
      const id = await writer.blob('data', zeros, { offset: 2 ** 40 });
      await writer.finish({ size: 512, content: [id] });
    },
    /'offset' is missing or not what it is to be/,
  ],
  [
    'an index that gets too large',
    async (writer) => {
      await writer.finish({ size: 0, content: [] });
      await writer.document('index', new Uint8Array((64 << 20) + 1).fill(32));
    },
    /index\/.*Input\/output error/,
  ],
  [
    'a snapshot that gets too large',
    async (writer) => {
      await writer.finish({ size: 0, content: [] });
      await writer.document('snapshots', new Uint8Array((1 << 20) + 1).fill(32));
    },
    /snapshots\/.*Input\/output error/,
  ],
  [
    'JSON that is nested a million deep',
    async (writer) => {
      await writer.finish({ size: 0, content: [] });
      await writer.document('snapshots', encode('['.repeat(1_000_000)));
    },
    /is not JSON/,
  ],
  [
    'a folder that is nested too deep',
    async (writer) => {
      let tree = await writer.tree([]);
      for (let depth = 0; depth < 40; depth++)
        tree = await writer.tree([{ name: 'm', type: 'dir', subtree: tree }]);
      await writer.finishWith(tree);
    },
    /nested more than 32 deep|No snapshot of r has a disk/,
  ],
  ...['../x', '..', '.', '', 'a/b', '/etc/passwd', 'a\0'].map(
    (name) =>
      [
        `a file called ${JSON.stringify(name)}`,
        async (writer: Writer) => {
          const folder = await writer.tree([
            { name, type: 'file', size: 0, content: [] },
            { name: 'hda', type: 'file', size: 0, content: [] },
          ]);
          await writer.finishWith(await writer.tree([{ name: 'm', type: 'dir', subtree: folder }]));
        },
        /is no file name/,
      ] as const,
  ),
  ...[1e300, -1, 511, 'many', null].map(
    (size) =>
      [
        `a disk of ${size} bytes that has 512`,
        async (writer: Writer) => {
          const id = await writer.blob('data', diskContent(512, 1));
          await writer.finish({ size, content: [id] });
        },
        /its chunks have 512 bytes together, and it has/,
      ] as const,
  ),
  [
    'a disk with a chunk that is nowhere',
    (writer) => writer.finish({ size: 512, content: ['ab'.repeat(32)] }),
    /chunk 0 \(abab.*\) is not in/,
  ],
  [
    'a disk with a chunk whose id is none',
    (writer) => writer.finish({ size: 512, content: ['../../etc/passwd'] }),
    /is no id/,
  ],
  [
    'a pack in another folder',
    async (writer) => {
      await writer.finish({ size: 0, content: [] });
      await writer.repository.put('index', { packs: [{ id: '../../x', blobs: [] }] } as never);
    },
    /is no id/,
  ],
  [
    'a config of a version to come',
    async (writer) => {
      const { sealer } = writer.repository;
      const config = encode(JSON.stringify({ version: 3, id: 'x' }));
      writer.store.files.set('config', await seal(sealer, sealer.keys, config));
    },
    /of version 3, not of version 2/,
  ],
];

describe('a repository', () => {
  test.each(cases)('with %s is refused in words', async (_, build, words) => {
    const { repository, store } = await newRepository();
    await build(new Writer(repository, store));
    expect(await failureOfDriver(store)).toMatch(words);
    const found = await Repository.open(platform, store, password)
      .then((opened) => checkRepository(opened, { readData: 1 }))
      .then(
        ({ errors }) => errors.join('\n'),
        (error: BlockError) => error.message,
      );
    expect(found).not.toBe('');
  });

  test('with a table of 3 GiB in a pack is found by the check', async () => {
    const { repository, store } = await newRepository();
    await backUp(repository, { hda: diskContent(4096, 1) });
    const name = [...store.files.keys()].find((file) => file.startsWith('data/'))!; // there is one
    const pack = store.files.get(name)!; // the same
    new DataView(pack.buffer, pack.byteOffset).setUint32(pack.length - 4, 3 << 30, true);
    const { errors } = await checkRepository(repository, { readData: 1 });
    expect(errors).toHaveLength(1);
  });

  test('with keys without end: so many are tried, and no more', async () => {
    const { store } = await newRepository();
    const theirs = [...store.files.keys()].filter((name) => name.startsWith('keys/'));
    for (const name of theirs) store.files.delete(name);
    let tried = 0;
    const counting = {
      ...platform,
      hashes: { ...platform.hashes, scrypt: async () => new Uint8Array(64).fill(tried++) },
    };
    const key = await sealKeys(counting, makeKeys(counting), 'x', owner, '2026-01-01T00:00:00Z');
    for (let i = 0; i < 30; i++) store.files.set(`keys/${String(i).padStart(64, '0')}`, key);
    tried = 1;
    await expect(Repository.open(counting, store, password)).rejects.toThrow('only 20 of 30 were tried');
    expect(tried).toBe(21);
  });

  test('with a link in place of a disk has no such disk', async () => {
    const { repository, store } = await newRepository();
    const writer = new Writer(repository, store);
    const link = { name: 'hda', type: 'symlink', linktarget: '/etc/passwd' };
    const folder = await writer.tree([link]);
    await writer.finishWith(await writer.tree([{ name: 'm', type: 'dir', subtree: folder }]));
    expect(await failureOfDriver(store)).toMatch(/No snapshot of r has a disk 'm\/hda'/);
  });
});

/** Of opening the disk, or of reading it. */
async function failureOfDriver(store: MemoryStore): Promise<string> {
  const graph = createGraph({
    platform: withFolder({ ...nodePlatform, files: filesOf(store, 'r') }, store, 'r'),
    drivers,
  });
  objectTableOf(graph).set('s0', { secret: encode(password) });
  const options = {
    driver: 'store',
    repository: 'r',
    disk: 'm/hda',
    'password-secret': 's0',
    'read-only': true,
  };
  try {
    const disk = await attachAlone(await graph.open(options), Perm.consistentRead);
    try {
      await disk.read(0, new Uint8Array(disk.length));
    } finally {
      await disk.close();
    }
  } catch (error) {
    if (error instanceof BlockError) return error.message;
    throw error;
  }
  return '';
}
