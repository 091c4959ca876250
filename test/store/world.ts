/** A repository in memory, with a machine's disks of which tests know every byte. */
import { nodePlatform } from '../../host/platform/node/index.ts';
import { writeDisk } from '../../host/store/disk-writer.ts';
import { chunkBytesOf, putMachine } from '../../host/store/machine.ts';
import { MemoryStore, type ObjectStore } from '../../host/store/object-store.ts';
import { Repository, type RepositoryPlatform, repositoryPlatform } from '../../host/store/repository.ts';
import { RepositoryWriter } from '../../host/store/repository-writer.ts';

const real = repositoryPlatform(nodePlatform);
/** By password and salt: a repository is opened hundreds of times, and scrypt is slow by design. */
const keys = new Map<string, Promise<Uint8Array>>();

export const platform: RepositoryPlatform = {
  ...real,
  hashes: {
    ...real.hashes,
    scrypt(secret, salt, ...cost) {
      const name = Buffer.concat([secret, salt]).toString('hex');
      const made = keys.get(name) ?? real.hashes.scrypt(secret, salt, ...cost);
      keys.set(name, made);
      return made;
    },
  },
};
export const owner = { username: 'tester', hostname: 'here', pid: process.pid };
export const password = 'correct horse';

export async function newRepository<Store extends ObjectStore = MemoryStore>(
  store: Store = new MemoryStore() as unknown as Store,
): Promise<{ repository: Repository; store: Store }> {
  return { repository: await Repository.init(platform, store, password, owner), store };
}

/** `bytes` that look like data, some of them zero, and that depend on the seed. */
export function diskContent(bytes: number, seed: number): Uint8Array {
  const content = new Uint8Array(bytes);
  let state = seed * 2_654_435_761 + 1;
  for (let at = 0; at < bytes; at += 4096) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    if (state >>> 31 === 0) continue;
    for (let i = at; i < Math.min(at + 4096, bytes); i++) content[i] = (state >>> (i % 24)) ^ i;
  }
  return content;
}

/** A snapshot of machine `m` with these disks. Settles with its id. */
export async function backUp(
  repository: Repository,
  disks: Readonly<Record<string, Uint8Array>>,
  cut: { chunkBytes?: number; packBytes?: number } = {},
): Promise<string> {
  const { packBytes = 16 << 20 } = cut;
  const writer = await RepositoryWriter.start(repository, { packBytes });
  const stored = [];
  for (const [name, content] of Object.entries(disks)) {
    const source = {
      bytes: content.length,
      read: async (offset: number, buffer: Uint8Array) =>
        buffer.set(content.subarray(offset, offset + buffer.length)),
      zeroBytes: async () => 0,
    };
    const { chunkBytes = chunkBytesOf(content.length) } = cut;
    const ids = await writeDisk(writer, source, { chunkBytes });
    stored.push({ name, size: content.length, chunkBytes, format: 'raw', content: ids });
  }
  return putMachine(repository, writer, 'm', stored, { username: owner.username, program: 'test' });
}
