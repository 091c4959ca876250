/**
 * Writing compressed clusters one by one (specification: qcow2, sections 3.4 and 9).
 *
 * A compressed write wants exactly one guest cluster (the last of the disk may be short). A cluster that does not get
 * smaller is written as an ordinary one. Clusters that are handed over together are compressed side by side, and get their
 * places in the file in the order in which they came.
 */
import { BlockError } from '../../../base/errors.ts';
import { fillAllocation } from '../../../block/transfer.ts';
import { codecOf } from './compressed.ts';
import type { Qcow2Engine } from './engine.ts';
import type { Qcow2Driver } from './image.ts';

export async function writeCompressedCluster(
  driver: Qcow2Driver,
  offset: number,
  buffer: Uint8Array,
): Promise<void> {
  const { engine, context } = driver;
  if (driver.encryption)
    throw new BlockError('ENOTSUP', 'Compression and encryption not supported at the same time');
  const { clusterSize, size } = engine.header;
  const whole =
    buffer.length === clusterSize || (offset + buffer.length === size && buffer.length < clusterSize);
  if (offset % clusterSize !== 0 || !whole) throw new BlockError('EINVAL');
  let cluster = buffer;
  if (buffer.length < clusterSize) {
    cluster = new Uint8Array(clusterSize);
    cluster.set(buffer);
  }
  const turn = driver.compressedWrites.acquire();
  try {
    const stream = await codecOf(engine, context).compress(cluster, clusterSize);
    const release = await turn;
    if (stream === undefined) await context.self.write(offset, buffer);
    else await writeStream(engine, offset, stream, release);
  } finally {
    void turn.then((release) => release());
  }
}

/** `placed` is called when it has its place in the file. */
async function writeStream(
  engine: Qcow2Engine,
  offset: number,
  stream: Uint8Array,
  placed: () => void,
): Promise<void> {
  const place = await engine.run(() => engine.core.prepareCompressed(offset, stream.length));
  placed();
  const allocation = {
    commit: () => engine.commit(place.token),
    abort: () => engine.abort(place.token),
  };
  await fillAllocation(allocation, async () => {
    await engine.file.debugEvent('cluster_alloc_bytes');
    await engine.file.debugEvent('write_compressed');
    await engine.file.write(place.offset, stream);
  });
}
