/**
 * A disk's content out of a repository, verified before anybody has it (specification: store, section 10).
 *
 * The chunks used last are kept, up to a bound. Any number of reads of a chunk that is on its way wait for the same request, and
 * chunks that are missing side by side come in one. What failed is asked for again by the next who wants it.
 */
import { createDeferred, type Deferred } from '../base/deferred.ts';
import { BlockError } from '../base/errors.ts';
import { InFlight } from '../base/in-flight.ts';
import { settled } from '../base/settled.ts';
import { readBlobs } from './blob-requests.ts';
import { DiskLayout } from './disk-layout.ts';
import type { Repository } from './repository.ts';
import type { FileNode } from './snapshot.ts';

/** Of the chunks that are kept, beside those that somebody waits for. */
const maxKeptBytes = 64 << 20;

export class DiskReader {
  /** The ones used last are at the end. */
  private readonly kept = new Map<number, Uint8Array>();
  private keptBytes = 0;
  private readonly coming = new Map<number, Deferred<Uint8Array>>();
  private readonly requests = new InFlight();

  private constructor(
    private readonly repository: Repository,
    readonly layout: DiskLayout,
  ) {}

  /** Errors: ENOENT: a chunk is not there; EIO: together they are not as long as the file. */
  static async open(repository: Repository, file: FileNode): Promise<DiskReader> {
    return new DiskReader(repository, await DiskLayout.of(repository, file));
  }

  /** Fills `buffer` from `offset`; the range is on the disk. Errors: EIO: damaged, or nowhere any more; of the store. */
  read(offset: number, buffer: Uint8Array): Promise<void> {
    return this.readNow(offset, buffer) ? settled : this.readLater(offset, buffer);
  }

  /** False: something of it is not here. */
  readNow(offset: number, buffer: Uint8Array): boolean {
    if (buffer.length === 0) return true;
    const { layout } = this;
    const end = offset + buffer.length;
    const [first, last] = [layout.chunkAt(offset), layout.chunkAt(end - 1)];
    for (let chunk = first; chunk <= last; chunk++)
      if (!this.kept.has(chunk) && !layout.isZero(chunk)) return false;
    for (let chunk = first; chunk <= last; chunk++) this.copy(chunk, this.take(chunk), offset, buffer);
    return true;
  }

  private async readLater(offset: number, buffer: Uint8Array): Promise<void> {
    const { layout } = this;
    const [first, last] = [layout.chunkAt(offset), layout.chunkAt(offset + buffer.length - 1)];
    const chunks = Array.from({ length: last - first + 1 }, (_, i) => first + i);
    // Taken hold of before the first wait: what comes meanwhile may push out what is here.
    const contents = this.begin(chunks);
    // All are waited for, whatever fails: nobody writes to the buffer after this.
    const outcomes = await Promise.allSettled(contents);
    for (const [i, outcome] of outcomes.entries()) {
      if (outcome.status === 'rejected') throw outcome.reason;
      this.copy(first + i, outcome.value, offset, buffer);
    }
  }

  /** Its content, which stays untouched. Errors: as `read`. */
  async readChunk(chunk: number): Promise<Uint8Array> {
    const [content] = this.begin([chunk]);
    return (await content) ?? new Uint8Array(this.layout.range(chunk).bytes);
  }

  /** Begins to bring what of the range is not here. It never fails. */
  prefetch(offset: number, bytes: number): void {
    const { layout } = this;
    const end = Math.min(offset + bytes, layout.bytes);
    if (offset >= end) return;
    const [first, last] = [layout.chunkAt(offset), layout.chunkAt(end - 1)];
    this.load(Array.from({ length: last - first + 1 }, (_, i) => first + i));
  }

  /** Settles when nothing is asked of the store any more. */
  whenIdle(): Promise<void> {
    return this.requests.whenIdle();
  }

  /** The content of each chunk, here or coming; undefined: it is zero. */
  private begin(chunks: readonly number[]): (Uint8Array | undefined | Promise<Uint8Array>)[] {
    this.load(chunks);
    return chunks.map((chunk) => this.take(chunk) ?? this.coming.get(chunk)?.promise);
  }

  private take(chunk: number): Uint8Array | undefined {
    const here = this.kept.get(chunk);
    if (here) {
      this.kept.delete(chunk);
      this.kept.set(chunk, here);
    }
    return here;
  }

  private copy(chunk: number, content: Uint8Array | undefined, offset: number, buffer: Uint8Array): void {
    const range = this.layout.range(chunk);
    const from = Math.max(offset, range.offset);
    const to = Math.min(offset + buffer.length, range.offset + range.bytes);
    if (content) buffer.set(content.subarray(from - range.offset, to - range.offset), from - offset);
    else buffer.fill(0, from - offset, to - offset);
  }

  private load(chunks: readonly number[]): void {
    const missing = chunks.filter(
      (chunk) => !this.kept.has(chunk) && !this.coming.has(chunk) && !this.layout.isZero(chunk),
    );
    if (missing.length === 0) return;
    for (const chunk of missing) {
      const coming = createDeferred<Uint8Array>();
      // Nobody may be waiting for it.
      coming.promise.catch(() => {});
      this.coming.set(chunk, coming);
    }
    this.requests.begin();
    const ids = missing.map((chunk) => this.layout.id(chunk));
    const failAll = (error: unknown): void => {
      for (const chunk of missing) this.failed(chunk, error);
    };
    const taker = {
      got: (i: number, content: Uint8Array): void => this.arrived(missing[i]!, content), // one for each id
      failed: (i: number, error: unknown): void => this.failed(missing[i]!, error), // the same
    };
    void readBlobs(this.repository, 'data', ids, taker)
      .catch(failAll)
      .finally(() => this.requests.end());
  }

  private arrived(chunk: number, content: Uint8Array): void {
    const { bytes } = this.layout.range(chunk);
    // The index that was read later may say something else than the one that the disk was laid out by.
    if (content.length !== bytes) {
      this.failed(chunk, new BlockError('EIO', `chunk ${chunk} has ${content.length} bytes, not ${bytes}`));
      return;
    }
    this.keep(chunk, content);
    this.coming.get(chunk)?.resolve(content);
    this.coming.delete(chunk);
  }

  private failed(chunk: number, error: unknown): void {
    this.coming.get(chunk)?.reject(error);
    this.coming.delete(chunk);
  }

  private keep(chunk: number, content: Uint8Array): void {
    this.kept.set(chunk, content);
    this.keptBytes += content.length;
    for (const [oldest, { length }] of this.kept) {
      if (this.keptBytes <= maxKeptBytes) break;
      this.kept.delete(oldest);
      this.keptBytes -= length;
    }
  }
}
