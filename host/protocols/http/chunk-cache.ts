/**
 * The part of a remote file that is here: chunks of equal size, the ones used last in memory, all that were ever
 * fetched in the platform's store if it has one.
 *
 * Any number of reads of a chunk that is on its way wait for the same transfer. Neighbouring chunks come in one
 * transfer. What the store cannot give or take is fetched or not kept; that is no error.
 */
import type { ChunkStore, Clock } from '../../platform/platform.ts';
import { webChunkBytes } from './chunk-size.ts';
import { RunLength } from './run-length.ts';
import { type Transfer, Transfers } from './transfers.ts';

/** Most chunks kept in memory: 32 MiB. */
export const maxKeptChunks = 512;

interface ChunkSource {
  /** Length of the file in bytes. */
  readonly length: number;
  read(offset: number, bytes: number): Promise<Uint8Array>;
}

interface ChunkCacheOptions {
  clock: Clock;
  /** Undefined: nothing outlives the node. */
  store?: { chunks: ChunkStore; file: string } | undefined;
}

/** Some neighbouring chunks on their way. */
interface Run extends Transfer {
  first: number;
  chunks: Promise<readonly Uint8Array[]>;
}

export class ChunkCache {
  /** The ones used last are at the end. */
  private readonly kept = new Map<number, Uint8Array>();
  private readonly coming = new Map<number, Run>();
  private readonly transfers = new Transfers();
  private readonly runLength = new RunLength();
  private readonly storing = new Set<Promise<void>>();
  private closed = false;

  constructor(
    private readonly source: ChunkSource,
    private readonly options: ChunkCacheOptions,
  ) {}

  get count(): number {
    return Math.ceil(this.source.length / webChunkBytes);
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

  /** Begins to fetch what of the range is neither here nor on its way. Settles when it is here; never fails. */
  async prefetch(offset: number, bytes: number): Promise<void> {
    if (this.closed) return;
    const first = Math.floor(offset / webChunkBytes);
    const end = Math.min(this.count, Math.ceil((offset + bytes) / webChunkBytes));
    await Promise.allSettled(this.load(first, end - first, false).map(({ chunks }) => chunks));
  }

  /** Whether the store has what is at `offset`. */
  async isStored(offset: number): Promise<boolean> {
    const [chunk] = await this.stored(Math.floor(offset / webChunkBytes), 1);
    return chunk !== undefined;
  }

  private chunk(index: number): Uint8Array | Promise<Uint8Array> {
    const here = this.kept.get(index);
    if (here) {
      this.kept.delete(index);
      this.kept.set(index, here);
      return here;
    }
    const run = this.coming.get(index)!; // asked for before
    run.isUrgent = true;
    return run.chunks.then((chunks) => chunks[index - run.first]!); // the run has it
  }

  /** Starts the runs for what is missing of `count` chunks. */
  private load(first: number, count: number, isUrgent: boolean): Run[] {
    const started: Run[] = [];
    const isMissing = (index: number): boolean => !this.kept.has(index) && !this.coming.has(index);
    for (let index = first; index < first + count; ) {
      if (!isMissing(index)) {
        index++;
        continue;
      }
      const start = index;
      while (index < first + count && index - start < this.runLength.chunks && isMissing(index)) index++;
      started.push(this.start(start, index - start, isUrgent));
    }
    return started;
  }

  private start(first: number, count: number, isUrgent: boolean): Run {
    const run: Run = { first, isUrgent, chunks: Promise.resolve([]) };
    run.chunks = this.bring(run, count);
    // Nobody may be waiting for it.
    run.chunks.catch(() => {});
    for (let index = first; index < first + count; index++) this.coming.set(index, run);
    return run;
  }

  private async bring(run: Run, count: number): Promise<readonly Uint8Array[]> {
    // Those who asked are entered as waiting first.
    await Promise.resolve();
    try {
      const found = await this.stored(run.first, count);
      const missing = runsOf(found).map(async ({ start, end }) => {
        const chunks = await this.fetch(run, run.first + start, end - start);
        for (const [index, chunk] of chunks.entries()) found[start + index] = chunk;
      });
      await Promise.all(missing);
      const chunks = found as Uint8Array[];
      for (const [index, chunk] of chunks.entries()) this.keep(run.first + index, chunk);
      return chunks;
    } finally {
      for (let index = run.first; index < run.first + count; index++) this.coming.delete(index);
    }
  }

  private async stored(first: number, count: number): Promise<(Uint8Array | undefined)[]> {
    const { store } = this.options;
    const none = new Array<undefined>(count).fill(undefined);
    if (!store) return none;
    const answers = await Promise.allSettled(
      none.map(async (_, index) => store.chunks.get(store.file, first + index)),
    );
    return answers.map((answer, index) => {
      const chunk = answer.status === 'fulfilled' ? answer.value : undefined;
      return chunk?.length === this.lengthOf(first + index) ? chunk : undefined;
    });
  }

  private async fetch(transfer: Transfer, first: number, count: number): Promise<Uint8Array[]> {
    const offset = first * webChunkBytes;
    const bytes = Math.min(count * webChunkBytes, this.source.length - offset);
    const data = await this.transfers.run(transfer, () => this.timed(offset, bytes));
    const chunks: Uint8Array[] = [];
    // Copies: one chunk that is kept must not keep the memory of the others.
    for (let at = 0; at < bytes; at += webChunkBytes)
      chunks.push(count === 1 ? data : data.slice(at, at + webChunkBytes));
    this.store(first, chunks);
    return chunks;
  }

  private async timed(offset: number, bytes: number): Promise<Uint8Array> {
    const { clock } = this.options;
    const start = clock.nowNs();
    const data = await this.source.read(offset, bytes);
    this.runLength.took(bytes, clock.nowNs() - start);
    return data;
  }

  private store(first: number, chunks: readonly Uint8Array[]): void {
    const { store } = this.options;
    if (!store) return;
    for (const [index, chunk] of chunks.entries()) {
      const put = store.chunks.put(store.file, first + index, chunk).catch(() => {});
      this.storing.add(put);
      void put.then(() => this.storing.delete(put));
    }
  }

  /** Waits for what is on its way, which its source has come to an end with, and then put into the store. */
  async close(): Promise<void> {
    this.closed = true;
    await Promise.allSettled([...this.coming.values()].map(({ chunks }) => chunks));
    await Promise.all(this.storing);
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

/** The ranges of elements that are not there. */
function runsOf(found: readonly (Uint8Array | undefined)[]): { start: number; end: number }[] {
  const runs: { start: number; end: number }[] = [];
  for (const [index, chunk] of found.entries()) {
    if (chunk) continue;
    const last = runs.at(-1);
    if (last?.end === index) last.end++;
    else runs.push({ start: index, end: index + 1 });
  }
  return runs;
}
