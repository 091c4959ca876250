/**
 * Files and disks as streams of bytes, for a download or a file that somebody chose.
 *
 * A disk must stay as it is while it goes out: nobody may write to the node. A disk in use is backed up first.
 */
import { BlockBackend } from '../block/backend.ts';
import type { BlockGraph } from '../block/graph.ts';
import { Perm } from '../block/permissions.ts';
import type { Platform } from '../platform/platform.ts';
import { planQcow2 } from './qcow2-stream.ts';

/** What `exportImage` reads. */
export type ExportSource =
  /** A file as it is. */
  | { readonly file: string }
  /** What a guest would see on the node; `qcow2`: a new image of it that stands alone. */
  | { readonly node: string; readonly format: 'raw' | 'qcow2' };

export interface Export {
  /** Length of the whole. */
  readonly bytes: number;
  /** In order; to be read to the end or returned. Each chunk is the reader's own. */
  readonly chunks: AsyncGenerator<Uint8Array, void>;
}

const blockBytes = 1 << 20;

/** Errors: no such file or node; somebody writes to it. */
export async function openExport(graph: BlockGraph, source: ExportSource): Promise<Export> {
  if ('file' in source) return openFileExport(graph.platform, source.file);
  const node = graph.getNode(source.node);
  const backend = await BlockBackend.attach(node, {
    name: 'root',
    description: `export of '${source.node}'`,
    perm: Perm.consistentRead,
    shared: Perm.consistentRead | Perm.writeUnchanged,
  });
  try {
    const read = (offset: number, into: Uint8Array): Promise<void> => backend.read(offset, into);
    const { bytes, chunks } =
      source.format === 'qcow2'
        ? await planQcow2(node)
        : { bytes: node.length, chunks: () => rawChunks(node.length, read) };
    return { bytes, chunks: closingAfter(chunks(read), () => backend.close()) };
  } catch (error) {
    await backend.close();
    throw error;
  }
}

async function openFileExport(platform: Platform, path: string): Promise<Export> {
  const file = await platform.files.open(path, { write: false });
  try {
    const bytes = await file.getSize();
    const chunks = rawChunks(bytes, (offset, into) => file.read(offset, into));
    return { bytes, chunks: closingAfter(chunks, () => file.close()) };
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function* rawChunks(
  bytes: number,
  read: (offset: number, into: Uint8Array) => Promise<void>,
): AsyncGenerator<Uint8Array, void> {
  for (let offset = 0; offset < bytes; offset += blockBytes) {
    const chunk = new Uint8Array(Math.min(blockBytes, bytes - offset));
    await read(offset, chunk);
    yield chunk;
  }
}

/** A generator that was never begun runs none of its own code when it is returned: this one has begun. */
function closingAfter(
  chunks: AsyncGenerator<Uint8Array, void>,
  close: () => Promise<void>,
): AsyncGenerator<Uint8Array, void> {
  let isClosed = false;
  const end = async (): Promise<void> => {
    if (isClosed) return;
    isClosed = true;
    await chunks.return();
    await close();
  };
  return {
    async next() {
      if (isClosed) return { done: true, value: undefined };
      try {
        const next = await chunks.next();
        if (next.done) await end();
        return next;
      } catch (error) {
        await end();
        throw error;
      }
    },
    async return() {
      await end();
      return { done: true, value: undefined };
    },
    async throw(error) {
      await end();
      throw error;
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  } as AsyncGenerator<Uint8Array, void>;
}
