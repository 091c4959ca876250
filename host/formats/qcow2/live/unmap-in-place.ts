/**
 * Discarding clusters that keep their places in the file (`discard-no-unref`; specification: qcow2, section 12), so that what is written
 * later does not scatter. The file may have the space below them back.
 */
import { Mapping } from '../../../core/qcow2-abi.ts';
import type { Qcow2Driver } from './image.ts';

/** Of guest clusters `first` up to, not including, `last`. `mode`: one that keeps them. */
export async function unmapInPlace(
  { engine, context }: Qcow2Driver,
  { first, last }: { first: number; last: number },
  mode: number,
): Promise<void> {
  const { core, file, header, options } = engine;
  const { clusterSize } = header;
  for (let cluster = first; cluster < last; ) {
    // Both steps at once: nobody comes in between.
    const { clusters, place } = await engine.run(() => {
      const start = cluster * clusterSize;
      const mapping = core.map(start, Math.min(last * clusterSize, header.size) - start);
      if (mapping < 0) return mapping;
      const { bytes, offset } = core.mapped;
      const hasPlace = mapping === Mapping.normal || mapping === Mapping.zeroAllocated;
      // A snapshot may have the same cluster.
      const how = { mode, hasBacking: context.hasBacking() };
      const changed = core.unmap(cluster, Math.ceil(bytes / clusterSize), how);
      if (typeof changed === 'number') return changed;
      return { clusters: changed.clusters, place: hasPlace && changed.isAlone ? offset : undefined };
    });
    // A hint: the file need not be able to follow it.
    if (place !== undefined && options.passDiscard.request)
      await file.discard(place, clusters * clusterSize).catch(() => {});
    cluster += clusters;
  }
}
