/**
 * Writing zeros without data (specification: qcow2, section 4.3).
 *
 * Whole clusters change their mapping, and so does a cluster that holds no data and reads as zeros around the range. In
 * any other cluster zeros are data, which costs its allocation; `noFallback` forbids that, and then fails before
 * anything has changed.
 */
import { BlockError } from '../../../base/errors.ts';
import { roundDown } from '../../../base/sectors.ts';
import type { ZeroFlags } from '../../../block/driver.ts';
import { Mapping, UnmapMode } from '../../../core/qcow2-abi.ts';
import type { Qcow2Header } from '../disk/header.ts';
import type { Qcow2Driver } from './image.ts';

/** A part of one cluster, which starts at `clusterStart`. */
interface Part {
  clusterStart: number;
  start: number;
  end: number;
}

/** ENOTSUP: zeros have to be written as data, throughout or, with `noFallback`, anywhere. */
export async function writeZeroes(
  driver: Qcow2Driver,
  offset: number,
  bytes: number,
  flags: ZeroFlags,
): Promise<void> {
  const { context, engine } = driver;
  const isOld = engine.header.version < 3;
  if (isOld && (flags.noFallback || context.hasBacking())) throw new BlockError('ENOTSUP');
  const { first, last, parts } = split(driver, offset, offset + bytes);
  const rests: boolean[] = [];
  for (const part of parts) rests.push(await isZeroAround(driver, part));
  const needsData = rests.includes(false);
  if (needsData && (flags.noFallback || (first >= last && !rests.includes(true))))
    throw new BlockError('ENOTSUP');
  const mode = isOld ? UnmapMode.discard : flags.mayUnmap ? UnmapMode.unmap : UnmapMode.keep;
  for (const [index, part] of parts.entries()) {
    if (rests[index] && (await unmapUnlessData(driver, part, mode))) continue;
    if (flags.noFallback) throw new BlockError('ENOTSUP');
    await context.self.write(part.start, new Uint8Array(part.end - part.start));
  }
  await driver.unmap(first, last, mode);
}

/** The clusters `first` up to, not including, `last` that are within the range; none when `first` is not below. */
export function wholeClusters(
  { clusterSize, size }: Qcow2Header,
  offset: number,
  end: number,
): { first: number; last: number } {
  const first = Math.ceil(offset / clusterSize);
  // The last cluster of the disk counts as whole when the range reaches the end.
  const last = end >= size ? Math.ceil(end / clusterSize) : Math.floor(end / clusterSize);
  return { first, last };
}

/** Clusters `first` up to, not including, `last` are whole; what is in front and behind is part of one. */
function split(
  { engine: { header } }: Qcow2Driver,
  offset: number,
  end: number,
): { first: number; last: number; parts: Part[] } {
  const { clusterSize } = header;
  const { first, last } = wholeClusters(header, offset, end);
  const part = (start: number, partEnd: number): Part => ({
    clusterStart: roundDown(start, clusterSize),
    start,
    end: partEnd,
  });
  if (first > last) return { first, last: first, parts: [part(offset, end)] };
  const parts: Part[] = [];
  if (offset < first * clusterSize) parts.push(part(offset, Math.min(end, first * clusterSize)));
  if (last * clusterSize < end) parts.push(part(last * clusterSize, end));
  return { first, last, parts };
}

/** Whether the cluster holds no data of its own, and reads as zeros around the part. */
async function isZeroAround(driver: Qcow2Driver, { clusterStart, start, end }: Part): Promise<boolean> {
  const { context, engine } = driver;
  const { clusterSize, size } = engine.header;
  const clusterEnd = Math.min(clusterStart + clusterSize, size);
  const extent = await driver.map(clusterStart, clusterEnd - clusterStart);
  if (extent.type === 'zero') return true;
  if (extent.type !== 'unallocated') return false;
  if (!context.hasBacking()) return true;
  // Not by reading: that would cost more than a cluster of data saves, where there is data.
  return (
    (await context.self.readsAsZeros(clusterStart, start - clusterStart)) &&
    (await context.self.readsAsZeros(end, clusterEnd - end))
  );
}

/** False, with nothing changed, when somebody has meanwhile written to the cluster. */
async function unmapUnlessData(
  driver: Qcow2Driver,
  { clusterStart }: Part,
  wanted: number,
): Promise<boolean> {
  const { context, engine } = driver;
  const { core, header } = engine;
  const mode = driver.modeInPlace(wanted);
  const withoutData: readonly number[] = [Mapping.unallocated, Mapping.zeroPlain, Mapping.zeroAllocated];
  // Both steps at once: nobody comes in between.
  const { done } = await engine.run(() => {
    const mapping = core.map(clusterStart, Math.min(header.clusterSize, header.size - clusterStart));
    if (mapping < 0) return mapping;
    if (!withoutData.includes(mapping)) return { done: false };
    const changed = core.unmap(clusterStart / header.clusterSize, 1, {
      mode,
      hasBacking: context.hasBacking(),
    });
    return typeof changed === 'number' ? changed : { done: true };
  });
  return done;
}
