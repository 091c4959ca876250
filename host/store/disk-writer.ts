/**
 * A disk's content, cut at fixed places and brought into a repository (specification: store, section 7).
 *
 * What is known to be zero is not read. A few chunks are on the way at once, each in a buffer that is used again, so memory does not
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
  /** Called when so many bytes more are done. */
  readonly progress?: (bytes: number) => void;
  /** Called before each chunk: what it throws ends the writing. */
  readonly check?: () => void;
}

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
  { chunkBytes, progress, check }: DiskWriting,
): Promise<Uint8Array> {
  const chunks = Math.ceil(source.bytes / chunkBytes);
  const content = new Uint8Array(chunks * idBytes);
  const zeros = new ZeroChunks(writer);
  const buffers = Array.from({ length: lanes }, () => new Uint8Array(chunkBytes));
  let next = 0;
  /** What lies below it, from the chunk before on, is known to be zero. */
  let zeroEnd = 0;
  const stages = {
    async next(): Promise<Chunk | undefined> {
      if (next === chunks) return undefined;
      check?.();
      const chunk = next++;
      const start = chunk * chunkBytes;
      const bytes = Math.min(chunkBytes, source.bytes - start);
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
