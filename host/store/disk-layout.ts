/**
 * Where the chunks of a disk are, whoever cut it: their lengths are those that the index has.
 *
 * A chunk that is zero is known by its id, without being read.
 */
import { BlockError } from '../base/errors.ts';
import { equalIds, idBytes, toHex } from './ids.ts';
import type { Repository } from './repository.ts';
import { sealingBytes } from './sealing.ts';
import type { FileNode } from './snapshot.ts';

/** Zeros shrink to so little that only what shrank like this needs to be compared with them. */
const zeroShrinkage = 256;
const shortFrameBytes = 128;
/** Looked up before others have their turn. */
const chunksAtOnce = 1024;

export class DiskLayout {
  private constructor(
    private readonly content: Uint8Array,
    /** Where each chunk begins, and where the last one ends. */
    private readonly bounds: Float64Array,
    /** 1: it is zero. */
    private readonly zeros: Uint8Array,
  ) {}

  /** Errors: ENOENT: a chunk is not there; EIO: together they are not as long as the file. */
  static async of(repository: Repository, { name, size, content }: FileNode): Promise<DiskLayout> {
    const index = await repository.index();
    const { hashes, clock } = repository.platform;
    const chunks = content.length / idBytes;
    const bounds = new Float64Array(chunks + 1);
    const zeros = new Uint8Array(chunks);
    const zeroIds = new Map<number, Uint8Array>();
    for (let i = 0; i < chunks; i++) {
      if (i % chunksAtOnce === chunksAtOnce - 1) await clock.yield();
      const id = content.subarray(i * idBytes, (i + 1) * idBytes);
      const place = index.find('data', id);
      if (!place)
        throw new BlockError(
          'ENOENT',
          `${name}: chunk ${i} (${toHex(id)}) is not in ${repository.store.location}`,
        );
      const { length, plainLength = length - sealingBytes } = place;
      bounds[i + 1] = bounds[i]! + plainLength; // chunks + 1 of them
      if (length > plainLength / zeroShrinkage + shortFrameBytes) continue;
      let zero = zeroIds.get(plainLength);
      if (!zero) zeroIds.set(plainLength, (zero = await hashes.sha256(new Uint8Array(plainLength))));
      if (equalIds(id, zero)) zeros[i] = 1;
    }
    if (bounds[chunks] !== size)
      throw new BlockError(
        'EIO',
        `${name}: its chunks have ${bounds[chunks]} bytes together, and it has ${size}`,
      );
    return new DiskLayout(content, bounds, zeros);
  }

  get bytes(): number {
    return this.bounds[this.chunks]!; // the last
  }

  get chunks(): number {
    return this.zeros.length;
  }

  /** Where a chunk is on the disk. */
  range(chunk: number): { offset: number; bytes: number } {
    const offset = this.bounds[chunk]!; // of a chunk that there is
    return { offset, bytes: this.bounds[chunk + 1]! - offset };
  }

  /** The one that has the byte at `offset`, which is on the disk. */
  chunkAt(offset: number): number {
    let [low, high] = [0, this.chunks];
    // What begins at `low` is not behind it, what begins at `high` is.
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (this.bounds[middle]! <= offset)
        low = middle; // between the two
      else high = middle;
    }
    return low;
  }

  isZero(chunk: number): boolean {
    return this.zeros[chunk] === 1;
  }

  /** Of the range, the first bytes that are alike. `offset` is on the disk. */
  status(offset: number, bytes: number): { bytes: number; zero: boolean } {
    const first = this.chunkAt(offset);
    const zero = this.isZero(first);
    let chunk = first + 1;
    while (chunk < this.chunks && this.isZero(chunk) === zero && this.bounds[chunk]! < offset + bytes)
      chunk++;
    return { zero, bytes: Math.min(bytes, this.bounds[chunk]! - offset) }; // at most the end
  }

  id(chunk: number): Uint8Array {
    return this.content.subarray(chunk * idBytes, (chunk + 1) * idBytes);
  }
}
