/** A repository as a whole: what is put in comes out, whatever fails, and nothing that changed on the way is taken for it. */
import { describe, expect, test } from 'vitest';
import { BlockError } from '../../host/base/errors.ts';
import { ciphers } from '../../host/platform/node/ciphers.ts';
import { createSimulation } from '../../host/platform/sim/index.ts';
import { checkRepository } from '../../host/store/check.ts';
import { DiskReader } from '../../host/store/disk-reader.ts';
import { RepositoryLock } from '../../host/store/lock.ts';
import { disksOf } from '../../host/store/machine.ts';
import { MemoryStore } from '../../host/store/object-store.ts';
import { isIrreducible } from '../../host/store/polynomial.ts';
import { Repository, repositoryPlatform } from '../../host/store/repository.ts';
import { RepositoryWriter } from '../../host/store/repository-writer.ts';
import { backUp, diskContent, newRepository, owner, password, platform } from './world.ts';

const disks = { hda: diskContent((5 << 20) + 512, 1), hdb: diskContent(1 << 20, 2) };

async function contentOf(repository: Repository, id: string): Promise<Record<string, Uint8Array>> {
  const snapshot = await repository.readSnapshot(id);
  const found: Record<string, Uint8Array> = {};
  for (const { name, file } of await disksOf(repository, snapshot)) {
    const reader = await DiskReader.open(repository, file);
    const content = new Uint8Array(reader.layout.bytes);
    await reader.read(0, content);
    found[name] = content;
  }
  return found;
}

const same = (a: Uint8Array | undefined, b: Uint8Array): boolean =>
  Buffer.compare(a ?? new Uint8Array(), b) === 0;

describe('a repository', () => {
  test('gives back what was put in, to whoever opens it with the password', async () => {
    const { repository, store } = await newRepository();
    const id = await backUp(repository, disks);
    const again = await Repository.open(platform, store, password);
    const found = await contentOf(again, id);
    expect(same(found['hda'], disks.hda)).toBe(true);
    expect(same(found['hdb'], disks.hdb)).toBe(true);
    expect(await checkRepository(again, { readData: 1 })).toMatchObject({
      errors: [],
      snapshots: 1,
      orphans: 0,
    });
  });

  test('keeps what is the same once', async () => {
    const { repository, store } = await newRepository();
    await backUp(repository, disks);
    const before = [...store.files.values()].reduce((sum, { length }) => sum + length, 0);
    await backUp(repository, { hda: disks.hda, hdc: disks.hdb });
    const after = [...store.files.values()].reduce((sum, { length }) => sum + length, 0);
    expect(after - before).toBeLessThan(4096);
  });

  test('is opened by no other password', async () => {
    const { store } = await newRepository();
    await expect(Repository.open(platform, store, 'wrong')).rejects.toMatchObject({ errno: 'EACCES' });
  });

  test('is not made where there is one', async () => {
    const { store } = await newRepository();
    await expect(Repository.init(platform, store, password, owner)).rejects.toMatchObject({
      errno: 'EEXIST',
    });
  });

  test('is not there where there are no keys', async () => {
    await expect(Repository.open(platform, new MemoryStore(), password)).rejects.toMatchObject({
      errno: 'ENOENT',
    });
  });

  test('has a polynomial that cannot be factored', () => {
    expect(isIrreducible(0x25b468838dcb75n)).toBe(true);
    expect(isIrreducible(0x25b468838dcb75n ^ 2n)).toBe(false);
    // (x + 1) times something, and a square.
    expect(isIrreducible((1n << 53n) | 1n)).toBe(false);
  });
});

/** Fails every `put` from the n-th on. */
class FailingStore extends MemoryStore {
  left = Number.POSITIVE_INFINITY;

  override async put(name: string, parts: readonly Uint8Array[]): Promise<void> {
    if (this.left-- <= 0) throw new BlockError('ENOSPC');
    await super.put(name, parts);
  }
}

test('a backup that fails at any put leaves nothing that is wrong, and the next one is whole', async () => {
  for (let puts = 0; ; puts++) {
    const { repository, store } = await newRepository(new FailingStore());
    store.left = puts;
    const failed = await backUp(repository, disks).then(
      () => false,
      () => true,
    );
    store.left = Number.POSITIVE_INFINITY;
    expect(await checkRepository(repository, { readData: 1 })).toMatchObject({ errors: [] });
    const found = await contentOf(repository, await backUp(repository, disks));
    expect(same(found['hda'], disks.hda)).toBe(true);
    expect(await checkRepository(repository, { readData: 1 })).toMatchObject({ errors: [] });
    if (!failed) {
      expect(puts).toBeGreaterThan(3);
      break;
    }
  }
});

test('one that has failed fails from then on', async () => {
  const { repository, store } = await newRepository(new FailingStore());
  const writer = await RepositoryWriter.start(repository);
  store.left = 0;
  await writer.add('data', diskContent(100, 3));
  await expect(writer.finish()).rejects.toMatchObject({ errno: 'ENOSPC' });
  store.left = 100;
  await expect(writer.add('data', diskContent(100, 4))).rejects.toMatchObject({ errno: 'ENOSPC' });
  await expect(writer.finish()).rejects.toMatchObject({ errno: 'ENOSPC' });
});

describe('a byte that changes anywhere', () => {
  const runs = Number(process.env['BIT_ROT'] ?? 1000);

  test('is found, and never given to anybody', async () => {
    const { repository, store } = await newRepository();
    const content = diskContent(80 << 10, 5);
    const id = await backUp(repository, { hda: content }, { chunkBytes: 16 << 10 });
    const names = [...store.files.keys()].filter((name) => /^(data|index|snapshots|config)/.test(name));
    let state = 99;
    for (let run = 0; run < runs; run++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      const name = names[run % names.length]!; // of those
      const file = store.files.get(name)!; // the same
      const at = state % file.length;
      file[at]! ^= 1 << (run % 8);
      const found = await checked(store);
      expect(found, `${name} at ${at}`).not.toBe('');
      const read = await Repository.open(platform, store, password)
        .then((opened) => contentOf(opened, id))
        .catch((error: unknown) => {
          expect(error).toBeInstanceOf(BlockError);
          return undefined;
        });
      if (read) expect(same(read['hda'], content)).toBe(true);
      file[at]! ^= 1 << (run % 8);
    }
    expect(await checked(store)).toBe('');
  });

  async function checked(store: MemoryStore): Promise<string> {
    try {
      const opened = await Repository.open(platform, store, password);
      return (await checkRepository(opened, { readData: 1 })).errors.join('\n');
    } catch (error) {
      return (error as BlockError).message;
    }
  }
});

test('what is missing is found', async () => {
  for (const kind of ['data/', 'index/'])
    for (const name of await names(kind)) {
      const { repository, store } = await newRepository();
      await backUp(repository, disks);
      const target = [...store.files.keys()].filter((file) => file.startsWith(kind))[name]!; // as many each time
      store.files.delete(target);
      repository.forgetIndex();
      const { errors } = await checkRepository(repository, { readData: 0 });
      expect(errors.length, target).toBeGreaterThan(0);
    }

  async function names(kind: string): Promise<number[]> {
    const { repository, store } = await newRepository();
    await backUp(repository, disks);
    return [...[...store.files.keys()].filter((file) => file.startsWith(kind)).keys()];
  }
});

describe('a lock', () => {
  test('is there while it is held, and gone afterwards', async () => {
    const { repository, store } = await newRepository();
    const lock = await RepositoryLock.take(repository, owner);
    expect(await store.list('locks')).toHaveLength(1);
    lock.check();
    await lock.release();
    expect(await store.list('locks')).toEqual([]);
  });

  test('goes together with another, but not with an exclusive one', async () => {
    const { repository, store } = await newRepository();
    const first = await RepositoryLock.take(repository, owner);
    const second = await RepositoryLock.take(repository, owner);
    await first.release();
    await second.release();
    const time = new Date().toISOString();
    await repository.put('locks', { ...owner, time, exclusive: true });
    await expect(RepositoryLock.take(repository, owner)).rejects.toMatchObject({ errno: 'EBUSY' });
    expect(await store.list('locks')).toHaveLength(1);
  });

  test('that could not be renewed for too long is lost, also when it can be again', async () => {
    const { store } = await newRepository(new FailingStore());
    const simulation = createSimulation(1);
    await simulation.run(async () => {
      const simulated = repositoryPlatform({ ...simulation.platform, ciphers, hashes: platform.hashes });
      const { clock } = simulated;
      const sleep = (minutes: number): Promise<void> =>
        new Promise((resolve) => void clock.setTimer(minutes * 60e9, resolve));
      const repository = await Repository.open(simulated, store, password);
      const lock = await RepositoryLock.take(repository, owner);
      const writer = await RepositoryWriter.start(repository, { check: () => lock.check() });
      await writer.add('data', diskContent(100, 3));
      await sleep(20);
      lock.check();
      store.left = 0;
      await sleep(30);
      store.left = Number.POSITIVE_INFINITY;
      await sleep(10);
      expect(() => lock.check()).toThrow('could not be renewed for more than 22 minutes');
      await expect(writer.finish()).rejects.toMatchObject({ errno: 'EIO' });
      expect(await store.list('index')).toEqual([]);
      await lock.release();
    });
  });

  test('that was left behind by somebody stops nobody', async () => {
    const { repository } = await newRepository();
    const time = new Date(Date.now() - 3_600_000).toISOString();
    await repository.put('locks', { ...owner, time, exclusive: true });
    await (await RepositoryLock.take(repository, owner)).release();
  });
});
