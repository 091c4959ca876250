/**
 * The `compress` filter: everything that is written is stored compressed (specification: graph, section 3).
 *
 * The format below decides what that takes: whole clusters, and only ones that hold no data yet. Parts of clusters are
 * completed with what is there before; a cluster that was written before fails with the format's error. Reads,
 * write-zeroes of whole clusters and discards pass through.
 */
import { BlockError } from '../base/errors.ts';
import { clusterBytesOf } from '../block/cluster-bytes.ts';
import type { Driver, DriverDefinition, WriteFlags, ZeroFlags } from '../block/driver.ts';
import type { Edge } from '../block/edge.ts';
import type { OpenContext } from '../block/open-context.ts';
import { struct } from '../qapi/types.ts';

/** Compressed beside each other; the others are written even when one of them fails. */
const maxClustersAtOnce = 8;

class Compress implements Driver {
  /** Makes the dispatcher complete clusters. */
  readonly limits: { requestAlignment: number };

  constructor(
    private readonly file: Edge,
    private readonly clusterBytes: number,
  ) {
    this.limits = { requestAlignment: clusterBytes };
  }

  getLength(): Promise<number> {
    return this.file.getByteLength();
  }

  read(offset: number, buffer: Uint8Array): Promise<void> {
    return this.file.read(offset, buffer);
  }

  /** Whole clusters; the last one may reach beyond the end. */
  async write(offset: number, buffer: Uint8Array, _flags: WriteFlags): Promise<void> {
    const { clusterBytes, file } = this;
    const bytes = Math.min(buffer.length, file.length - offset);
    const groupBytes = clusterBytes * maxClustersAtOnce;
    for (let group = 0; group < bytes; group += groupBytes) {
      const writes: Promise<void>[] = [];
      const end = Math.min(group + groupBytes, bytes);
      for (let at = group; at < end; at += clusterBytes) {
        writes.push(file.writeCompressed(offset + at, buffer.subarray(at, Math.min(at + clusterBytes, end))));
      }
      const failed = (await Promise.allSettled(writes)).find(({ status }) => status === 'rejected');
      if (failed?.status === 'rejected') throw failed.reason;
    }
  }

  writeZeroes(offset: number, bytes: number, flags: ZeroFlags): Promise<void> {
    return this.file.writeZeroes(offset, bytes, flags);
  }

  async close(): Promise<void> {}
}

export const compress: DriverDefinition = {
  name: 'compress',
  kind: 'filter',
  options: struct('BlockdevOptionsCompress', {}),
  children: [{ name: 'file' }],
  async open(context: OpenContext): Promise<Driver> {
    const file = await context.openChild('file', 'filtered');
    const { driver, definition } = file.node;
    if (!driver.writeCompressed) {
      throw new BlockError(
        'ENOTSUP',
        `Compression is not supported for underlying format: ${definition.name}`,
      );
    }
    return new Compress(file, clusterBytesOf(file.node) ?? 512);
  },
};
