/**
 * A disk's content, cut at fixed places and brought into a repository (specification: store, section 7).
 *
 * What is known to be zero is not read, and neither is what is known to be as it was in an earlier snapshot, as long as the repository has
 * it. A few chunks are on the way at once, each in a buffer that is used again, so memory does not
 * grow with the disk, but for the list of ids.
 */
import { runPipeline } from '../copy/pipeline.ts';
import { idBytes } from './ids.ts';
import type { RepositoryWriter } from './repository-writer.ts';

const lanes = 4;

/** A disk as it is at one instant. */
export interface DiskSource {
  readonly bytes: number;
  /** Fills `buffer` from `offset`. */
  read(offset: number, buffer: Uint8Array): Promise<void>;
  /** How many bytes from `offset` on are known to be zero. */
  zeroBytes(offset: number): Promise<number>;
}

interface DiskWriting {
  readonly chunkBytes: number;
  /** The id of a chunk that is as it was in an earlier snapshot. */
  readonly unchanged?: (chunk: number) => Uint8Array | undefined;
  /** Called when so many bytes more are done. */
  readonly progress?: (bytes: number) => void;
  /** Called before each chunk, and every now and then while none is read: what it throws ends the writing. */
  readonly check?: () => void | Promise<void>;
}

/** So many chunks that are not read are gone through at once. */
const unreadAtOnce = 256;

interface Chunk {
  readonly chunk: number;
  readonly start: number;
  readonly bytes: number;
  readonly isZero: boolean;
}

/** Settles with the ids of all chunks, one after the other. They may not be durable yet. */
export async function writeDisk(
  writer: RepositoryWriter,
  source: DiskSource,
  { chunkBytes, unchanged, progress, check }: DiskWriting,
): Promise<Uint8Array> {
  const chunks = Math.ceil(source.bytes / chunkBytes);
  const content = new Uint8Array(chunks * idBytes);
  const zeros = new ZeroChunks(writer);
  const buffers = Array.from({ length: lanes }, () => new Uint8Array(chunkBytes));
  let next = 0;
  /** What lies below it, from the chunk before on, is known to be zero. */
  let zeroEnd = 0;
  const bytesOf = (chunk: number): number => Math.min(chunkBytes, source.bytes - chunk * chunkBytes);
  /** Whether there was nothing to do for it. */
  const isDone = (chunk: number): boolean => {
    const id = unchanged?.(chunk);
    if (!id || !writer.reuse(id, bytesOf(chunk))) return false;
    content.set(id, chunk * idBytes);
    progress?.(bytesOf(chunk));
    return true;
  };
  const stages = {
    async next(): Promise<Chunk | undefined> {
      for (let isSkipping = true; isSkipping; ) {
        await check?.();
        const end = Math.min(next + unreadAtOnce, chunks);
        while (next < end && isDone(next)) next++;
        isSkipping = next === end && next < chunks;
      }
      if (next === chunks) return undefined;
      const chunk = next++;
      const start = chunk * chunkBytes;
      const bytes = bytesOf(chunk);
      const end = start + bytes;
      if (end > zeroEnd) zeroEnd = Math.max(zeroEnd, start + (await source.zeroBytes(start)));
      return { chunk, start, bytes, isZero: end <= zeroEnd };
    },
    async read({ start, bytes, isZero }: Chunk, buffer: Uint8Array): Promise<void> {
      if (!isZero) await source.read(start, buffer.subarray(0, bytes));
    },
    async write({ chunk, bytes, isZero }: Chunk, buffer: Uint8Array): Promise<void> {
      const id = isZero ? await zeros.id(bytes) : await writer.add('data', buffer.subarray(0, bytes));
      content.set(id, chunk * idBytes);
      progress?.(bytes);
    },
  };
  await runPipeline(buffers, stages, 'none');
  return content;
}

/** Added once for each length. */
class ZeroChunks {
  private readonly ids = new Map<number, Promise<Uint8Array>>();

  constructor(private readonly writer: RepositoryWriter) {}

  id(bytes: number): Promise<Uint8Array> {
    let id = this.ids.get(bytes);
    if (!id) {
      id = this.writer.add('data', new Uint8Array(bytes));
      this.ids.set(bytes, id);
    }
    return id;
  }
}
