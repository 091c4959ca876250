/**
 * A disk's content out of a repository, whoever cut it: the lengths of its chunks are those that the index has.
 *
 * A chunk that is zero is known by its id. Every other is verified when it is read. The last few are kept.
 */
import { BlockError } from '../base/errors.ts';
import { equalIds, idBytes, toHex } from './ids.ts';
import type { Repository } from './repository.ts';
import { sealingBytes } from './sealing.ts';
import type { FileNode } from './snapshot.ts';

const keptChunks = 16;

export class DiskReader {
  private readonly kept = new Map<number, Promise<Uint8Array>>();
  /** Of zero chunks of a length. */
  private readonly zeroIds = new Map<number, Uint8Array>();

  private constructor(
    private readonly repository: Repository,
    private readonly content: Uint8Array,
    /** Where each chunk begins, and where the last one ends. */
    private readonly bounds: Float64Array,
  ) {}

  /** Errors: ENOENT: a chunk is not there; EIO: together they are not as long as the file. */
  static async open(repository: Repository, { name, size, content }: FileNode): Promise<DiskReader> {
    const index = await repository.index();
    const chunks = content.length / idBytes;
    const bounds = new Float64Array(chunks + 1);
    for (let i = 0; i < chunks; i++) {
      const id = content.subarray(i * idBytes, (i + 1) * idBytes);
      const place = index.find('data', id);
      if (!place)
        throw new BlockError(
          'ENOENT',
          `${name}: chunk ${i} (${toHex(id)}) is not in ${repository.store.location}`,
        );
      bounds[i + 1] = bounds[i]! + (place.plainLength ?? place.length - sealingBytes); // chunks + 1 of them
    }
    if (bounds[chunks] !== size)
      throw new BlockError(
        'EIO',
        `${name}: its chunks have ${bounds[chunks]} bytes together, and it has ${size}`,
      );
    return new DiskReader(repository, content, bounds);
  }

  get bytes(): number {
    return this.bounds[this.chunks]!; // the last
  }

  get chunks(): number {
    return this.bounds.length - 1;
  }

  /** Where a chunk is on the disk. */
  range(chunk: number): { offset: number; bytes: number } {
    const offset = this.bounds[chunk]!; // of a chunk that there is
    return { offset, bytes: this.bounds[chunk + 1]! - offset };
  }

  async isZero(chunk: number): Promise<boolean> {
    const { bytes } = this.range(chunk);
    let zero = this.zeroIds.get(bytes);
    if (!zero) {
      zero = await this.repository.platform.hashes.sha256(new Uint8Array(bytes));
      this.zeroIds.set(bytes, zero);
    }
    return equalIds(this.id(chunk), zero);
  }

  /** Its content, which stays untouched. */
  readChunk(chunk: number): Promise<Uint8Array> {
    let found = this.kept.get(chunk);
    this.kept.delete(chunk);
    found ??= this.repository.readBlob('data', this.id(chunk));
    this.kept.set(chunk, found);
    found.catch(() => this.kept.delete(chunk));
    for (const [oldest] of this.kept) {
      if (this.kept.size <= keptChunks) break;
      this.kept.delete(oldest);
    }
    return found;
  }

  private id(chunk: number): Uint8Array {
    return this.content.subarray(chunk * idBytes, (chunk + 1) * idBytes);
  }
}
