/**
 * A repository as restic 0.14 and later read and write it (specification: store): opened with a password, read, and added to.
 *
 * Everything is written once, under the name of its content, in an order in which a program that dies leaves nothing to repair:
 * packs, then the index that names them, then the snapshot. Nothing is ever changed or removed but locks.
 */
import { BlockError } from '../base/errors.ts';
import { runPipeline } from '../copy/pipeline.ts';
import type { Clock, Platform, WholeCodec } from '../platform/platform.ts';
import { readBlobs } from './blob-requests.ts';
import { type DocumentFolder, getDocument, putDocument, type Sealer } from './documents.ts';
import { idFrom, toHex } from './ids.ts';
import { countIn, parseRecord, stringIn } from './json.ts';
import { makeKeys, type Owner, sealKeys, unsealKeys } from './key-file.ts';
import { maxDocumentBytes, maxIndexBytes, maxKeyFiles } from './limits.ts';
import type { ObjectStore, StoredObject } from './object-store.ts';
import type { BlobKind } from './pack.ts';
import { drawPolynomial } from './polynomial.ts';
import { parseIndex, RepositoryIndex } from './repository-index.ts';
import { type Primitives, type SealingKeys, seal, unseal } from './sealing.ts';
import {
  type NamedSnapshot,
  parseSnapshot,
  parseTree,
  type Snapshot,
  snapshotDocument,
  type TreeNode,
} from './snapshot.ts';
import { rfc3339 } from './time.ts';

const version = 2;
/** Index files that are read at a time. */
const indexLanes = 4;
const folders = ['data', 'index', 'keys', 'locks', 'snapshots'];
/** 2 × 8 bits: the first two digits of packs' names. */
const packFolders = Array.from({ length: 256 }, (_, i) => `data/${i.toString(16).padStart(2, '0')}`);

/** What a repository takes of the world. */
export type RepositoryPlatform = Primitives & { readonly zstd: WholeCodec; readonly clock: Clock };

/** Errors: ENOTSUP: nothing is hashed and encrypted on this host. */
export function repositoryPlatform({ ciphers, hashes, random, codecs, clock }: Platform): RepositoryPlatform {
  const { zstd } = codecs;
  const { decompressWhole } = zstd;
  if (!ciphers || !hashes || !decompressWhole)
    throw new BlockError('ENOTSUP', 'repositories need encryption, which this host does not have');
  return { ciphers, hashes, random, zstd: { ...zstd, decompressWhole }, clock };
}

export class Repository {
  private loaded: Promise<RepositoryIndex> | undefined;
  /** What `loaded` has come to. */
  private current: RepositoryIndex | undefined;

  private constructor(
    readonly platform: RepositoryPlatform,
    readonly store: ObjectStore,
    private readonly keys: SealingKeys,
    /** Made at random by whoever made the repository. */
    readonly id: string,
  ) {}

  /** A new one. Errors: EEXIST: there is one; of the store. */
  static async init(
    platform: RepositoryPlatform,
    store: ObjectStore,
    password: string,
    owner: Owner,
  ): Promise<Repository> {
    if (await exists(store, 'config'))
      throw new BlockError('EEXIST', `${store.location} is a repository already`);
    await store.prepare([...folders, ...packFolders]);
    if ((await store.list('keys')).length > 0)
      throw new BlockError('EEXIST', `${store.location} has keys already`);
    const keys = makeKeys(platform);
    const key = await sealKeys(platform, keys, password, owner, rfc3339(platform.clock));
    const hash = await platform.hashes.sha256(key);
    const keyName = `keys/${toHex(hash)}`;
    await store.put(keyName, [key], hash);
    const id = new Uint8Array(32);
    platform.random.fill(id);
    const config = { version, id: toHex(id), chunker_polynomial: drawPolynomial(platform.random) };
    const sealed = await seal(platform, keys, new TextEncoder().encode(JSON.stringify(config)));
    if (!(await putNew(store, 'config', sealed, await platform.hashes.sha256(sealed)))) {
      await store.remove(keyName);
      throw new BlockError('EEXIST', `${store.location} has become a repository meanwhile`);
    }
    return new Repository(platform, store, keys, config.id);
  }

  /** Errors: ENOENT: there is none; EACCES: no key is this password's; ENOTSUP: of another version; EIO; of the store. */
  static async open(platform: RepositoryPlatform, store: ObjectStore, password: string): Promise<Repository> {
    const keys = await keysOf(platform, store, password);
    const what = `config of ${store.location}`;
    const config = parseRecord(
      await unseal(platform, keys, await store.get('config', maxDocumentBytes)),
      what,
    );
    const found = countIn(config, 'version', Number.MAX_SAFE_INTEGER, what);
    if (found !== version)
      throw new BlockError(
        'ENOTSUP',
        `${store.location} is a repository of version ${found}, not of version ${version}`,
      );
    return new Repository(platform, store, keys, stringIn(config, 'id', what));
  }

  get sealer(): Sealer {
    return { ...this.platform, keys: this.keys };
  }

  /** Read when it is asked for first. */
  index(): Promise<RepositoryIndex> {
    const loading = (this.loaded ??= this.readIndex());
    // A failure is not kept: the next one tries again.
    loading.catch(() => {
      if (this.loaded === loading) this.loaded = undefined;
    });
    return loading;
  }

  /**
   * It is read again when it is asked for next: others have added or removed, or what was to be added will not be. `seen`: unless that
   * has been done since this one was looked at.
   */
  forgetIndex(seen?: RepositoryIndex): void {
    if (seen === undefined || seen === this.current) this.loaded = undefined;
  }

  private async readIndex(): Promise<RepositoryIndex> {
    const index = new RepositoryIndex();
    const left = [...(await this.store.list('index'))];
    const lanes = Array.from({ length: indexLanes }, () => ({ json: new Uint8Array() }));
    const stages = {
      next: async () => left.pop(),
      read: async ({ name }: StoredObject, lane: { json: Uint8Array }) => {
        lane.json = await getDocument(this.sealer, this.store, 'index', baseName(name), maxIndexBytes);
      },
      write: async ({ name }: StoredObject, { json }: { json: Uint8Array }) =>
        index.addFile(parseIndex(json, `${name} of ${this.store.location}`)),
    };
    await runPipeline(lanes, stages, 'none');
    this.current = index;
    return index;
  }

  /** Errors: EIO: it is damaged, or nowhere; of the store. */
  readBlob(kind: BlobKind, id: Uint8Array): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const taker = {
        got: (_: number, plain: Uint8Array): void => resolve(plain),
        failed: (_: number, error: unknown): void => reject(error),
      };
      readBlobs(this, kind, [id], taker).catch(reject);
    });
  }

  async readTree(id: string): Promise<TreeNode[]> {
    const what = `tree ${id} of ${this.store.location}`;
    return parseTree(await this.readBlob('tree', idFrom(id, what)), what);
  }

  /** All of them, the oldest first. */
  async snapshots(): Promise<NamedSnapshot[]> {
    const names = await this.store.list('snapshots');
    const found = await Promise.all(names.map(({ name }) => this.readSnapshot(baseName(name))));
    return found.sort((a, b) => Date.parse(a.time) - Date.parse(b.time));
  }

  async readSnapshot(id: string): Promise<NamedSnapshot> {
    return parseSnapshot(await getDocument(this.sealer, this.store, 'snapshots', id, maxDocumentBytes), id);
  }

  /** Everything that it is made of is durable. Settles with its id when it is durable, too. */
  putSnapshot(snapshot: Snapshot, program: string): Promise<string> {
    return this.put('snapshots', snapshotDocument(snapshot, program));
  }

  put(folder: DocumentFolder, value: unknown): Promise<string> {
    return putDocument(this.sealer, this.store, folder, value);
  }
}

export function baseName(name: string): string {
  return name.slice(name.lastIndexOf('/') + 1);
}

async function putNew(
  store: ObjectStore,
  name: string,
  content: Uint8Array,
  sha256: Uint8Array,
): Promise<boolean> {
  if (store.putNew) return store.putNew(name, [content], sha256);
  await store.put(name, [content], sha256);
  return true;
}

async function exists(store: ObjectStore, name: string): Promise<boolean> {
  try {
    await store.get(name, maxDocumentBytes);
    return true;
  } catch (error) {
    if (error instanceof BlockError && error.errno === 'ENOENT') return false;
    throw error;
  }
}

async function keysOf(
  platform: RepositoryPlatform,
  store: ObjectStore,
  password: string,
): Promise<SealingKeys> {
  const files = await store.list('keys');
  if (files.length === 0)
    throw new BlockError('ENOENT', `${store.location} is no repository: there are no keys`);
  for (const { name } of files.slice(0, maxKeyFiles)) {
    const what = `${name} of ${store.location}`;
    const keys = await unsealKeys(platform, await store.get(name, maxDocumentBytes), password, what);
    if (keys) return keys;
  }
  const tried = files.length > maxKeyFiles ? `; only ${maxKeyFiles} of ${files.length} were tried` : '';
  throw new BlockError('EACCES', `the password opens none of the keys of ${store.location}${tried}`);
}
