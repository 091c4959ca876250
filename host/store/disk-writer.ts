/**
 * A disk's content, cut at fixed places and brought into a repository (specification: store, section 7).
 *
 * What is known to be zero is not read. A few chunks are on the way at once, each in a buffer that is used again, so memory does not
 * grow with the disk, but for the list of ids.
 */
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

/** Settles with the ids of all chunks, one after the other. They may not be durable yet. */
export async function writeDisk(
  writer: RepositoryWriter,
  source: DiskSource,
  { chunkBytes, progress, check }: DiskWriting,
): Promise<Uint8Array> {
  const chunks = Math.ceil(source.bytes / chunkBytes);
  const content = new Uint8Array(chunks * idBytes);
  const zeros = new ZeroChunks(writer);
  let next = 0;
  /** Chunks below it are known to be zero, as far as was asked. */
  let zeroEnd = 0;
  const lane = async (): Promise<void> => {
    const buffer = new Uint8Array(chunkBytes);
    while (next < chunks) {
      check?.();
      const chunk = next++;
      const start = chunk * chunkBytes;
      const bytes = Math.min(chunkBytes, source.bytes - start);
      if (start + bytes > zeroEnd) {
        const known = start + (await source.zeroBytes(start));
        zeroEnd = Math.max(zeroEnd, known);
      }
      const isZero = start + bytes <= zeroEnd;
      content.set(
        isZero ? await zeros.id(bytes) : await readAndAdd(start, buffer.subarray(0, bytes)),
        chunk * idBytes,
      );
      progress?.(bytes);
    }
  };
  const readAndAdd = async (start: number, buffer: Uint8Array): Promise<Uint8Array> => {
    await source.read(start, buffer);
    return writer.add('data', buffer);
  };
  const outcomes = await Promise.allSettled(Array.from({ length: lanes }, lane));
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
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
