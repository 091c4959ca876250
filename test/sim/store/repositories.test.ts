/**
 * Two machines are backed up into one repository by programs that may die at any operation, while somebody else prunes it and a guest
 * runs from it; and the store is unreliable. Every snapshot that was said to be there is exact, unless somebody has forgotten it, and
 * the repository is whole.
 */
import { expect } from 'vitest';
import { BlockError } from '../../../host/base/errors.ts';
import { ciphers } from '../../../host/platform/node/ciphers.ts';
import { createSimulation, type Simulation } from '../../../host/platform/sim/index.ts';
import { Prng } from '../../../host/platform/sim/prng.ts';
import { checkRepository } from '../../../host/store/check.ts';
import { DiskReader } from '../../../host/store/disk-reader.ts';
import { writeDisk } from '../../../host/store/disk-writer.ts';
import { findDisk } from '../../../host/store/find-snapshot.ts';
import { RepositoryLock } from '../../../host/store/lock.ts';
import { putMachine } from '../../../host/store/machine.ts';
import { MemoryStore } from '../../../host/store/object-store.ts';
import { Repository, type RepositoryPlatform, repositoryPlatform } from '../../../host/store/repository.ts';
import { RepositoryWriter } from '../../../host/store/repository-writer.ts';
import { prune } from '../../store/prune.ts';
import { newRepository, owner, password, platform as realPlatform } from '../../store/world.ts';
import { testSeeds } from '../../support/seeds.ts';
import { UnreliableStore } from './unreliable-store.ts';

const chunkBytes = 512;
const diskBytes = 12 * chunkBytes;
const packBytes = 4 * chunkBytes;
const generations = 3;
/** Longer than anybody honours a lock. */
const staleNs = 1860e9;
const exclusiveTries = 3;

/** Without snapshots; the same for all seeds. */
const empty = (await newRepository()).store;

interface Reported {
  readonly id: string;
  readonly path: string;
  readonly content: Uint8Array;
}

class World {
  readonly files = new MemoryStore();
  readonly platform: RepositoryPlatform;
  readonly reported: Reported[] = [];
  readonly forgotten = new Set<string>();
  /** Somebody runs from it. */
  readonly inUse = new Set<string>();

  constructor(
    readonly simulation: Simulation,
    private readonly seed: number,
  ) {
    for (const [name, content] of empty.files) this.files.files.set(name, content);
    const { platform } = simulation;
    this.platform = repositoryPlatform({ ...platform, ciphers, hashes: realPlatform.hashes });
  }

  sleep(ns: number): Promise<void> {
    return new Promise((resolve) => void this.platform.clock.setTimer(ns, resolve));
  }

  /** As one program sees it, and chance of its own. */
  program(number: number): { store: UnreliableStore; random: Prng } {
    const random = new Prng(this.seed, 10 + number);
    const faults = [0, 10, 50][random.below(3)]!; // of three
    const crashAt = random.below(2) === 0 ? 0 : 1 + random.below(80);
    return {
      store: new UnreliableStore(this.files, this.platform.clock, random, { faults, crashAt }),
      random,
    };
  }

  open(store: UnreliableStore | MemoryStore): Promise<Repository> {
    return Repository.open(this.platform, store, password);
  }

  get remembered(): Reported[] {
    return this.reported.filter(({ id }) => !this.forgotten.has(id));
  }
}

/** What goes wrong is told, and nothing but operating errors. */
async function attempt(act: () => Promise<void>): Promise<void> {
  try {
    await act();
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
  }
}

function backUps(world: World, number: number): Promise<void> {
  const { store, random } = world.program(number);
  const path = `m${number}/hda`;
  const content = new Uint8Array(diskBytes);
  const backUp = async (): Promise<void> => {
    const repository = await world.open(store);
    const lock = await RepositoryLock.take(repository, { ...owner, pid: number });
    try {
      const writer = await RepositoryWriter.start(repository, { packBytes, check: () => lock.check() });
      const source = {
        bytes: diskBytes,
        read: async (offset: number, buffer: Uint8Array) =>
          buffer.set(content.subarray(offset, offset + buffer.length)),
        zeroBytes: async () => 0,
      };
      const ids = await writeDisk(writer, source, { chunkBytes });
      const disk = { name: 'hda', size: diskBytes, chunkBytes, format: 'raw', content: ids };
      const author = { username: 'tester', program: 'test' };
      const id = await putMachine(repository, writer, `m${number}`, [disk], author);
      world.reported.push({ id, path, content: content.slice() });
    } finally {
      await lock.release();
    }
  };
  const run = async (): Promise<void> => {
    for (let generation = 0; generation < generations; generation++) {
      await world.sleep(random.below(300) * 1e9);
      // Few values, so that the machines, and a machine and its past, have chunks in common.
      for (let i = 0; i < 4; i++) {
        const chunk = random.below(diskBytes / chunkBytes);
        content.fill(random.below(4), chunk * chunkBytes, (chunk + 1) * chunkBytes);
      }
      await attempt(backUp);
    }
  };
  return Promise.race([run(), store.crash]);
}

function prunes(world: World): Promise<void> {
  const { store, random } = world.program(2);
  const holder = { username: 'another', hostname: 'there', pid: 7 };
  const putLock = async (repository: Repository): Promise<string> => {
    const { seconds } = world.platform.clock.wallClock();
    const time = new Date(seconds * 1000).toISOString();
    return repository.put('locks', { ...holder, time, exclusive: true, uid: 0, gid: 0 });
  };
  const others = async (repository: Repository, own?: string): Promise<boolean> => {
    const locks = await store.list('locks');
    for (const { name } of locks) {
      if (name === `locks/${own}`) continue;
      if (!(await isStale(world, repository, name))) return true;
    }
    return false;
  };
  const run = async (): Promise<void> => {
    for (let time = 0; time < exclusiveTries; time++) {
      await world.sleep(random.below(600) * 1e9);
      await attempt(async () => {
        const repository = await world.open(store);
        if (await others(repository)) return;
        const lock = await putLock(repository);
        try {
          await world.sleep(200e6);
          if (await others(repository, lock)) return;
          const forget = world.remembered.filter(({ id }) => !world.inUse.has(id) && random.below(2) === 0);
          for (const { id } of forget) world.forgotten.add(id);
          await prune(
            repository,
            forget.map(({ id }) => id),
          );
        } finally {
          await store.remove(`locks/${lock}`);
        }
      });
    }
  };
  return Promise.race([run(), store.crash]);
}

async function isStale(world: World, repository: Repository, name: string): Promise<boolean> {
  const { getDocument } = await import('../../../host/store/documents.ts');
  const { sealer } = repository;
  const json = await getDocument(
    sealer,
    repository.store,
    'locks',
    name.slice('locks/'.length),
    1 << 20,
  ).catch((error: unknown) => {
    if (error instanceof BlockError && error.errno === 'ENOENT') return undefined;
    throw error;
  });
  if (!json) return true;
  const { time } = JSON.parse(new TextDecoder().decode(json)) as { time: string };
  return world.platform.clock.wallClock().seconds * 1000 - Date.parse(time) > 1800e3;
}

/** Reads a disk of a snapshot while others change the repository, and holds no lock. */
async function runs(world: World): Promise<void> {
  const { store, random } = world.program(3);
  const read = async (): Promise<void> => {
    while (world.remembered.length === 0) {
      await world.sleep(60e9);
      if (world.platform.clock.nowNs() > 3600e9) return;
    }
    const used = world.remembered.at(-1)!; // there is one
    world.inUse.add(used.id);
    await attempt(async () => {
      const repository = await world.open(store);
      const { disk } = await findDisk(repository, used.id, used.path);
      const reader = await DiskReader.open(repository, disk.file);
      for (let i = 0; i < 8; i++) {
        await world.sleep(random.below(200) * 1e9);
        const offset = random.below(diskBytes);
        const buffer = new Uint8Array(1 + random.below(diskBytes - offset));
        await attempt(async () => {
          await reader.read(offset, buffer);
          expectSame(buffer, used.content.subarray(offset, offset + buffer.length));
        });
      }
    });
  };
  return Promise.race([read(), store.crash]);
}

function expectSame(found: Uint8Array, expected: Uint8Array): void {
  expect(Buffer.compare(found, expected)).toBe(0);
}

async function verify(world: World): Promise<void> {
  const repository = await world.open(world.files);
  expect((await checkRepository(repository, { readData: 1 })).errors).toEqual([]);
  for (const { id, path, content } of world.remembered) {
    const { disk } = await findDisk(repository, id, path);
    const found = new Uint8Array(diskBytes);
    await (await DiskReader.open(repository, disk.file)).read(0, found);
    expectSame(found, content);
  }
}

const first = Number(process.env['STORE_SEED'] ?? 1);
const count = Number(process.env['STORE_SEEDS'] ?? 200);

testSeeds({ first, count, batch: 50 }, async (seed) => {
  const simulation = createSimulation(seed, { record: false });
  const world = new World(simulation, seed);
  await simulation.run(async () => {
    await Promise.all([backUps(world, 0), backUps(world, 1), prunes(world), runs(world)]);
    // What comes late has come, and locks of the dead are stale.
    await world.sleep(staleNs);
    await verify(world);
  });
});
