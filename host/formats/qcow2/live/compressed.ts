/**
 * Compressed clusters: reading them (specification: qcow2, sections 3.4 and 9). They are written by compressed-write.ts.
 */
import type { OpenContext } from '../../../block/open-context.ts';
import type { Codec } from '../../../platform/platform.ts';
import { compressedRange } from '../disk/entry.ts';
import type { Qcow2Engine } from './engine.ts';

export function codecOf(engine: Qcow2Engine, context: OpenContext): Codec {
  const { deflate, zstd } = context.platform.codecs;
  return engine.header.compressionType === 'zstd' ? zstd : deflate;
}

/** The whole guest cluster that a compressed L2 entry stands for. EIO when the stream is damaged. */
export async function readCompressed(
  engine: Qcow2Engine,
  context: OpenContext,
  entry: bigint,
): Promise<Uint8Array> {
  const { clusterBits, clusterSize } = engine.header;
  const { offset, bytes } = compressedRange(entry, clusterBits);
  const stream = new Uint8Array(bytes);
  await engine.file.debugEvent('read_compressed');
  await engine.file.read(offset, stream);
  const cluster = new Uint8Array(clusterSize);
  await codecOf(engine, context).decompress(stream, cluster);
  return cluster;
}
