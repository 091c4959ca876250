/**
 * What a repository holds: all its index files together (specification: store, section 6), and what this program has added since.
 *
 * Trees and data are told apart, as restic does. What a pack that is being written holds is known before the pack has a name; `name`
 * gives it one, and until then the pack's number stands for it.
 */
import { BlockError } from '../base/errors.ts';
import { BlobIndex, type BlobPlace } from './blob-index.ts';
import { equalIds, idBytes, idFrom, toHex } from './ids.ts';
import { asRecord, countIn, listIn, parseRecord } from './json.ts';
import { maxPackBytes } from './limits.ts';
import { type BlobKind, maxBlobBytes, type PackedBlob } from './pack.ts';
import { sealingBytes } from './sealing.ts';

/** A pack, as an index file tells of it. */
export interface IndexedPack {
  readonly id: string;
  readonly blobs: readonly PackedBlob[];
}

/** Of the shortest blob: one that is empty. */
const minBlobBytes = sealingBytes;

export class RepositoryIndex {
  readonly data = new BlobIndex();
  readonly trees = new BlobIndex();
  /** Ids of the packs, by their numbers. */
  private ids = new Uint8Array(idBytes * 64);
  private packs = 0;

  of(kind: BlobKind): BlobIndex {
    return kind === 'data' ? this.data : this.trees;
  }

  /** The number of a pack that has no name yet. */
  addPack(): number {
    if ((this.packs + 1) * idBytes > this.ids.length) {
      const longer = new Uint8Array(2 * this.ids.length);
      longer.set(this.ids);
      this.ids = longer;
    }
    return this.packs++;
  }

  name(pack: number, id: Uint8Array): void {
    this.ids.set(id, pack * idBytes);
  }

  /** Its file. Undefined: it has no name yet. */
  packName(pack: number): string | undefined {
    const id = this.ids.subarray(pack * idBytes, (pack + 1) * idBytes);
    return equalIds(id, noId) ? undefined : packNameOf(toHex(id));
  }

  /** Of all packs that have a name. */
  *packNames(): Generator<string> {
    for (let pack = 0; pack < this.packs; pack++) {
      const name = this.packName(pack);
      if (name !== undefined) yield name;
    }
  }

  add({ kind, id, ...place }: PackedBlob, pack: number): void {
    this.of(kind).add(id, { pack, ...place });
  }

  find(kind: BlobKind, id: Uint8Array): BlobPlace | undefined {
    return this.of(kind).find(id);
  }

  addFile(packs: Iterable<IndexedPack>): void {
    for (const { id, blobs } of packs) {
      const pack = this.addPack();
      this.name(pack, idFrom(id, 'a pack'));
      for (const blob of blobs) this.add(blob, pack);
    }
  }
}

const noId = new Uint8Array(idBytes);

export function packNameOf(id: string): string {
  return `data/${id.slice(0, 2)}/${id}`;
}

/** What an index file says. */
export function indexDocument(packs: readonly IndexedPack[]): unknown {
  return {
    packs: packs.map(({ id, blobs }) => ({
      id,
      blobs: blobs.map(({ kind, id: blob, offset, length, plainLength }) => ({
        ...{ id: toHex(blob), type: kind, offset, length },
        ...(plainLength === undefined ? {} : { uncompressed_length: plainLength }),
      })),
    })),
  };
}

/** Errors: EIO when it is not what an index is to be. */
export function* parseIndex(json: Uint8Array, what: string): Generator<IndexedPack> {
  for (const item of listIn(parseRecord(json, what), 'packs', what)) {
    const pack = asRecord(item, what);
    const id = toHex(idFrom(pack['id'], what));
    yield { id, blobs: listIn(pack, 'blobs', what).map((blob) => parseBlob(blob, `${what}: pack ${id}`)) };
  }
}

function parseBlob(item: unknown, what: string): PackedBlob {
  const blob = asRecord(item, what);
  const kind = blob['type'];
  if (kind !== 'data' && kind !== 'tree')
    throw new BlockError('EIO', `${what} has a blob of type ${JSON.stringify(kind)}`);
  const offset = countIn(blob, 'offset', maxPackBytes, what);
  const length = countIn(blob, 'length', maxPackBytes - offset, what);
  if (length < minBlobBytes) throw new BlockError('EIO', `${what} has a blob of ${length} bytes`);
  const isCompressed = (blob['uncompressed_length'] ?? 0) !== 0;
  const plainLength = isCompressed
    ? countIn(blob, 'uncompressed_length', maxBlobBytes(kind), what)
    : undefined;
  if (!isCompressed && length - sealingBytes > maxBlobBytes(kind))
    throw new BlockError('EIO', `${what} has a blob of ${length} bytes`);
  return { kind, id: idFrom(blob['id'], what), offset, length, plainLength };
}
