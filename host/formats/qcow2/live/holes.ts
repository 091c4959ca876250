/**
 * Whether the file has holes where the image has data: so it is after preallocation=metadata, and then block status asks
 * the file, too (specification: qcow2, section 3.6). Elsewhere that would cost a system call for each extent and find
 * nothing.
 *
 * It is decided by the clusters in use being more than the file has space for. That compares two numbers and no places:
 * holes that few clusters have go unnoticed, and then count as data, which is never wrong.
 */
import { allocatedBytes } from '../../../block/allocated-bytes.ts';
import type { Clock } from '../../../platform/platform.ts';
import type { Qcow2Engine } from './engine.ts';

/** Clusters that are looked at before others get their turn. */
const clustersPerTurn = 4096;

export async function hasHoles(engine: Qcow2Engine, clock: Clock): Promise<boolean> {
  const { clusterSize } = engine.header;
  const allocated = await allocatedBytes(engine.file.node);
  if (allocated === undefined) return false;
  const real = Math.floor(allocated / clusterSize);
  const threshold = Math.max(Math.floor((real * 10) / 9), real + 2);
  const clusters = Math.ceil(engine.file.length / clusterSize);
  let used = 0;
  for (let cluster = 0; cluster < clusters; cluster++) {
    // Not even if all the others are in use.
    if (used + clusters - cluster < threshold) return false;
    const { count } = await refcount(engine, cluster);
    if (count > 0) used++;
    if (used >= threshold) return true;
    if ((cluster + 1) % clustersPerTurn === 0) await clock.yield();
  }
  return false;
}

function refcount(engine: Qcow2Engine, cluster: number): { count: number } | Promise<{ count: number }> {
  const found = engine.guarded(() => engine.core.refcount(cluster));
  return typeof found === 'number' ? engine.run(() => engine.core.refcount(cluster), found) : found;
}
