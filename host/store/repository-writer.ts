/**
 * Adding to a repository: blobs are gathered in packs, packs are uploaded a few at a time, and an index file names them when many
 * have come, or when a while has passed: what was uploaded by then is kept when the program dies (specification: store, sections 5, 6 and 8).
 *
 * A blob that is there already is not added again. Once anything has failed, everything fails: a snapshot of what is not durable
 * cannot be made. `finish` settles when all that was added is durable and named.
 */
import { BlockError } from '../base/errors.ts';
import { blobId, sealBlob } from './blobs.ts';
import { toHex } from './ids.ts';
import { type BlobKind, encodeTable, maxBlobBytes, type PackedBlob, packTail } from './pack.ts';
import type { Repository } from './repository.ts';
import { type IndexedPack, indexDocument, packNameOf, type RepositoryIndex } from './repository-index.ts';
import { seal } from './sealing.ts';

const usualPackBytes = 16 << 20;
/** Room that a pack is begun with, in shares of what closes it: most never need more. */
const roomShare = 5 / 4;
/** Each holds a pack in memory. */
const maxUploads = 4;
const maxIndexedBlobs = 50_000;
const indexEveryNs = 600e9;

interface WriterSettings {
  /** A pack is closed when it has so many bytes. */
  readonly packBytes?: number;
  /** Called before anything is added or named, and for a snapshot when it is durable: what it throws ends the writing. */
  readonly check?: () => void;
}

/** What has been done so far, in bytes. */
export interface WriterStatistics {
  /** Of blobs that were not there, plain. */
  readonly newBytes: number;
  /** Of blobs that were there, plain. */
  readonly reusedBytes: number;
  /** Of what was written to the store. */
  readonly storedBytes: number;
}

/** A pack that is being filled. */
interface OpenPack {
  readonly number: number;
  readonly blobs: PackedBlob[];
  /** With room for more behind `bytes`. */
  content: Uint8Array;
  bytes: number;
}

export class RepositoryWriter {
  private readonly open = new Map<BlobKind, OpenPack>();
  private readonly uploads = new Set<Promise<void>>();
  /** Packs that are durable and not named yet. */
  private unnamed: IndexedPack[] = [];
  private namedAtNs: number;
  private failure: unknown;
  private counts = { newBytes: 0, reusedBytes: 0, storedBytes: 0 };

  private constructor(
    private readonly repository: Repository,
    private readonly index: RepositoryIndex,
    private readonly settings: WriterSettings,
  ) {
    this.namedAtNs = repository.platform.clock.nowNs();
  }

  static async start(repository: Repository, settings: WriterSettings = {}): Promise<RepositoryWriter> {
    return new RepositoryWriter(repository, await repository.index(), settings);
  }

  private get packBytes(): number {
    return this.settings.packBytes ?? usualPackBytes;
  }

  get statistics(): WriterStatistics {
    return this.counts;
  }

  /** Settles with its id; whoever adds the next before that has several on the way. `plain` stays untouched until then. */
  async add(kind: BlobKind, plain: Uint8Array): Promise<Uint8Array> {
    this.check();
    if (plain.length > maxBlobBytes(kind))
      throw new BlockError('EFBIG', `a ${kind} blob of ${plain.length} bytes`);
    const { sealer } = this.repository;
    const id = await blobId(sealer, plain);
    if (this.has(kind, id)) {
      this.counts.reusedBytes += plain.length;
      return id;
    }
    const { sealed, plainLength } = await sealBlob(sealer, id, plain);
    this.check();
    // Another with the same content may have come in the meantime.
    if (this.has(kind, id)) {
      this.counts.reusedBytes += plain.length;
      return id;
    }
    this.counts.newBytes += plain.length;
    await this.put({ kind, id, length: sealed.length, plainLength }, sealed);
    return id;
  }

  /** Takes `bytes` that are there already, by their id, as `add` would. False: they are not. */
  reuse(id: Uint8Array, bytes: number): boolean {
    const isThere = this.has('data', id);
    if (isThere) this.counts.reusedBytes += bytes;
    return isThere;
  }

  private has(kind: BlobKind, id: Uint8Array): boolean {
    return this.index.of(kind).has(id);
  }

  /** Settles when everything that was added is durable, and an index names it. */
  async finish(): Promise<void> {
    for (const kind of [...this.open.keys()]) this.close(kind);
    while (this.uploads.size > 0) await Promise.allSettled(this.uploads);
    this.check();
    await this.nameAll();
  }

  /** Errors: what has failed before; of the check that it was started with. */
  check(): void {
    if (this.failure !== undefined) throw this.failure;
    this.settings.check?.();
  }

  private async put(blob: Omit<PackedBlob, 'offset'>, sealed: Uint8Array): Promise<void> {
    const pack = this.packFor(blob.kind);
    const packed = { ...blob, offset: pack.bytes };
    pack.blobs.push(packed);
    append(pack, sealed);
    this.index.add(packed, pack.number);
    if (pack.bytes < this.packBytes) return;
    this.close(blob.kind);
    while (this.uploads.size >= maxUploads) await Promise.race(this.uploads);
    this.check();
  }

  private packFor(kind: BlobKind): OpenPack {
    const found = this.open.get(kind);
    if (found) return found;
    const made = {
      number: this.index.addPack(),
      blobs: [],
      content: new Uint8Array(this.packBytes * roomShare),
      bytes: 0,
    };
    this.open.set(kind, made);
    return made;
  }

  private close(kind: BlobKind): void {
    const pack = this.open.get(kind)!; // it was asked for
    this.open.delete(kind);
    const upload = this.upload(pack)
      .catch((error: unknown) => {
        this.failure ??= error;
        // It knows of blobs that are nowhere.
        this.repository.forgetIndex();
      })
      .finally(() => this.uploads.delete(upload));
    this.uploads.add(upload);
  }

  private async upload(pack: OpenPack): Promise<void> {
    const { sealer, store, platform } = this.repository;
    const { number, blobs } = pack;
    append(pack, packTail(await seal(sealer, sealer.keys, encodeTable(blobs))));
    const whole = pack.content.subarray(0, pack.bytes);
    const hash = await platform.hashes.sha256(whole);
    const id = toHex(hash);
    await store.put(packNameOf(id), [whole], hash);
    this.counts.storedBytes += whole.length;
    this.index.name(number, hash);
    this.unnamed.push({ id, blobs });
    const count = this.unnamed.reduce((sum, pack) => sum + pack.blobs.length, 0);
    const isDue = platform.clock.nowNs() - this.namedAtNs >= indexEveryNs;
    if (count >= maxIndexedBlobs || isDue) await this.nameAll();
  }

  private async nameAll(): Promise<void> {
    const packs = this.unnamed;
    if (packs.length === 0) return;
    this.check();
    this.unnamed = [];
    this.namedAtNs = this.repository.platform.clock.nowNs();
    await this.repository.put('index', indexDocument(packs));
  }
}

function append(pack: OpenPack, bytes: Uint8Array): void {
  const end = pack.bytes + bytes.length;
  if (end > pack.content.length) {
    const longer = new Uint8Array(2 * end);
    longer.set(pack.content.subarray(0, pack.bytes));
    pack.content = longer;
  }
  pack.content.set(bytes, pack.bytes);
  pack.bytes = end;
}
