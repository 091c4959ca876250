/**
 * The part of a remote file that is here: chunks of equal size, the ones used last in memory, all that were ever
 * fetched in the platform's store if it has one.
 *
 * Any number of reads of a chunk that is on its way wait for the same transfer, and each has its chunk as soon as that is
 * whole. Neighbouring chunks come in one transfer. What somebody waits for is asked for at once; what is fetched in advance
 * only while the line has room and the server answers, so that nobody ever waits for more than one such transfer. What the
 * store cannot give or take is fetched or not kept; that is no error.
 */
import { createDeferred, type Deferred } from '../../base/deferred.ts';
import { BlockError } from '../../base/errors.ts';
import type { ChunkStore } from '../../platform/platform.ts';
import { ChunkQueue, type ChunkRun } from './chunk-queue.ts';
import { webChunkBytes } from './chunk-size.ts';
import type { Line } from './line.ts';

/** Most chunks kept in memory: 32 MiB. */
export const maxKeptChunks = 512;
/** Requests under way at once, for each node. Browsers make at most six to one server over HTTP/1.1. */
export const maxTransfers = 6;
/** Of these are for what is fetched in advance: one is left for whoever has to wait. */
const maxTransfersAhead = maxTransfers - 1;

interface ChunkSource {
  /** Length of the file in bytes. */
  readonly length: number;
  readonly line: Pick<Line, 'bytesUnderWay' | 'fullBytes' | 'runChunks'>;
  /** The server does not answer as it should: only what somebody waits for is tried. */
  readonly isInTrouble: boolean;
  /** Hands out the bytes of a range in their order. */
  read(offset: number, bytes: number, take: (piece: Uint8Array) => void): Promise<void>;
}

/** Where chunks outlive the node, and the name of the file there. */
interface StoredFile {
  chunks: ChunkStore;
  file: string;
}

/** A chunk that is looked up, queued or on its way. */
interface ComingChunk extends Deferred<Uint8Array> {
  isUrgent: boolean;
}

interface Transfer {
  isUrgent: boolean;
  bytesLeft: number;
}

export class ChunkCache {
  /** The ones used last are at the end. */
  private readonly kept = new Map<number, Uint8Array>();
  private readonly coming = new Map<number, ComingChunk>();
  private readonly queue = new ChunkQueue();
  private readonly transfers = new Set<Transfer>();
  /** Look-ups, transfers and what is put into the store. */
  private readonly underWay = new Set<Promise<void>>();
  private isScheduled = false;
  private closed = false;

  constructor(
    private readonly source: ChunkSource,
    /** Undefined: nothing outlives the node. */
    private readonly store: StoredFile | undefined,
  ) {}

  get count(): number {
    return Math.ceil(this.source.length / webChunkBytes);
  }

  /** Bytes that are worth reading ahead: more than keeps the line busy, since half of it is used up before there is more. */
  get usefulAhead(): number {
    const { fullBytes, runChunks } = this.source.line;
    return 3 * (fullBytes + runChunks * webChunkBytes);
  }

  /** Fills `buffer`; the range lies within the file. Errors: of the source. */
  async read(offset: number, buffer: Uint8Array): Promise<void> {
    if (buffer.length === 0) return;
    const first = Math.floor(offset / webChunkBytes);
    const last = Math.floor((offset + buffer.length - 1) / webChunkBytes);
    this.load(first, last - first + 1, true);
    // Taken hold of before the first wait: what comes meanwhile may push out what is here.
    const chunks = Array.from({ length: last - first + 1 }, (_, index) => this.chunk(first + index));
    // All are waited for, whatever fails: nobody writes to the buffer after this.
    const outcomes = await Promise.allSettled(chunks);
    for (const [index, outcome] of outcomes.entries()) {
      if (outcome.status === 'rejected') throw outcome.reason;
      const start = (first + index) * webChunkBytes;
      const from = Math.max(offset, start);
      const to = Math.min(offset + buffer.length, start + outcome.value.length);
      buffer.set(outcome.value.subarray(from - start, to - start), from - offset);
    }
  }

  /** Nothing is fetched in advance any more. */
  get isClosed(): boolean {
    return this.closed;
  }

  /** Begins to fetch what of the range is neither here nor on its way. Settles when that is here; never fails. */
  async prefetch(offset: number, bytes: number): Promise<void> {
    if (this.closed) return;
    const first = Math.floor(offset / webChunkBytes);
    const end = Math.min(this.count, Math.ceil((offset + bytes) / webChunkBytes));
    await Promise.allSettled(this.load(first, end - first, false).map(({ promise }) => promise));
  }

  /** Whether the store has what is at `offset`. */
  async isStored(offset: number): Promise<boolean> {
    const index = Math.floor(offset / webChunkBytes);
    return (await this.stored(index)) !== undefined;
  }

  private chunk(index: number): Uint8Array | Promise<Uint8Array> {
    const here = this.kept.get(index);
    if (here) {
      this.kept.delete(index);
      this.kept.set(index, here);
      return here;
    }
    const coming = this.coming.get(index)!; // asked for before
    if (!coming.isUrgent) {
      coming.isUrgent = true;
      this.queue.hurry(index);
      this.schedule();
    }
    return coming.promise;
  }

  /** Begins to bring what is missing of `count` chunks. */
  private load(first: number, count: number, isUrgent: boolean): ComingChunk[] {
    const missing: number[] = [];
    for (let index = first; index < first + count; index++)
      if (!this.kept.has(index) && !this.coming.has(index)) missing.push(index);
    const started = missing.map((index) => this.start(index, isUrgent));
    if (this.store) this.track(this.lookUp(missing));
    else this.enqueue(missing);
    return started;
  }

  private start(index: number, isUrgent: boolean): ComingChunk {
    const coming = { ...createDeferred<Uint8Array>(), isUrgent };
    // Nobody may be waiting for it.
    coming.promise.catch(() => {});
    this.coming.set(index, coming);
    return coming;
  }

  /** What is not in the store is fetched. */
  private async lookUp(indices: readonly number[]): Promise<void> {
    const found = await Promise.all(indices.map((index) => this.stored(index)));
    for (const [at, chunk] of found.entries()) if (chunk) this.arrived(indices[at]!, chunk); // one answer for each
    this.enqueue(indices.filter((_, at) => !found[at]));
  }

  private async stored(index: number): Promise<Uint8Array | undefined> {
    try {
      const chunk = await this.store?.chunks.get(this.store.file, index);
      return chunk?.length === this.lengthOf(index) ? chunk : undefined;
    } catch {
      // As good as not there.
      return undefined;
    }
  }

  private enqueue(indices: readonly number[]): void {
    for (const index of indices) {
      if (this.closed) this.fail(index, new BlockError('ECANCELED'));
      else this.queue.add(index, this.coming.get(index)!.isUrgent); // until it has come or failed
    }
    this.schedule();
  }

  /** Requests are made when all who ask now have asked. */
  private schedule(): void {
    if (this.isScheduled) return;
    this.isScheduled = true;
    queueMicrotask(() => {
      this.isScheduled = false;
      for (let run = this.nextRun(); run; run = this.nextRun()) this.track(this.transfer(run));
    });
  }

  private nextRun(): ChunkRun | undefined {
    const { queue } = this;
    const { bytesUnderWay, fullBytes, runChunks } = this.source.line;
    const mayAhead =
      this.transfers.size < maxTransfersAhead && bytesUnderWay <= fullBytes && !this.source.isInTrouble;
    if (!queue.hasUrgent) return mayAhead ? queue.takeAhead(runChunks) : undefined;
    let urgentBytes = 0;
    for (const { isUrgent, bytesLeft } of this.transfers) if (isUrgent) urgentBytes += bytesLeft;
    const mayUrgent = this.transfers.size < maxTransfers && urgentBytes <= fullBytes;
    return mayUrgent ? queue.takeUrgent(runChunks, mayAhead) : undefined;
  }

  private async transfer({ first, count }: ChunkRun): Promise<void> {
    const offset = first * webChunkBytes;
    const bytes = Math.min(count * webChunkBytes, this.source.length - offset);
    const isUrgent = this.coming.get(first)?.isUrgent ?? false;
    const transfer = { isUrgent, bytesLeft: bytes };
    this.transfers.add(transfer);
    let index = first;
    let chunk = new Uint8Array(this.lengthOf(index));
    let filled = 0;
    const take = (piece: Uint8Array): void => {
      transfer.bytesLeft -= piece.length;
      for (let at = 0; at < piece.length; ) {
        const part = piece.subarray(at, at + chunk.length - filled);
        chunk.set(part, filled);
        filled += part.length;
        at += part.length;
        if (filled < chunk.length) break;
        this.put(index, chunk);
        this.arrived(index, chunk);
        chunk = new Uint8Array(++index < first + count ? this.lengthOf(index) : 0);
        filled = 0;
      }
      // The line may have room again.
      this.schedule();
    };
    try {
      await this.source.read(offset, bytes, take);
    } catch (error) {
      for (; index < first + count; index++) this.fail(index, error);
    } finally {
      this.transfers.delete(transfer);
      this.schedule();
    }
  }

  private arrived(index: number, chunk: Uint8Array): void {
    this.keep(index, chunk);
    this.coming.get(index)?.resolve(chunk);
    this.coming.delete(index);
  }

  private fail(index: number, error: unknown): void {
    this.coming.get(index)?.reject(error);
    this.coming.delete(index);
  }

  private put(index: number, chunk: Uint8Array): void {
    const { store } = this;
    if (store) this.track(store.chunks.put(store.file, index, chunk).catch(() => {}));
  }

  private track(work: Promise<void>): void {
    this.underWay.add(work);
    void work.then(() => this.underWay.delete(work));
  }

  /** Waits for what is on its way, which its source has come to an end with, and then put into the store. */
  async close(): Promise<void> {
    this.closed = true;
    for (const index of this.queue.clear()) this.fail(index, new BlockError('ECANCELED'));
    while (this.underWay.size > 0) await Promise.all(this.underWay);
  }

  private keep(index: number, chunk: Uint8Array): void {
    this.kept.set(index, chunk);
    if (this.kept.size > maxKeptChunks) {
      for (const oldest of this.kept.keys()) {
        this.kept.delete(oldest);
        break;
      }
    }
  }

  private lengthOf(index: number): number {
    return Math.min(webChunkBytes, this.source.length - index * webChunkBytes);
  }
}
