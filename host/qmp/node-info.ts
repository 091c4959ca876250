/**
 * What queries tell about a node: QAPI BlockDeviceInfo and ImageInfo (specification: graph, section 12).
 */
import { BlockError } from '../base/errors.ts';
import { withoutUndefined } from '../base/without-undefined.ts';
import { bitmapsOf } from '../bitmaps/node-bitmaps.ts';
import { allocatedBytes } from '../block/allocated-bytes.ts';
import type { BlockBackend } from '../block/backend.ts';
import { chainFrom, nextInChain } from '../block/chain.ts';
import type { DriverInfo } from '../block/driver.ts';
import { filenameOf, resolveBackingName } from '../block/filename.ts';
import type { BlockNode } from '../block/node.ts';
import { writeThresholdOf } from '../block/write-threshold.ts';
import { any, array, bool, enumeration, int64, optional, str, struct, uint32 } from '../qapi/types.ts';
import { throttleInfo } from '../throttle/backend-limits.ts';

const imageInfoType = struct('ImageInfo', {
  filename: str,
  format: str,
  'dirty-flag': optional(bool),
  'actual-size': optional(int64),
  'virtual-size': int64,
  'cluster-size': optional(int64),
  encrypted: optional(bool),
  'backing-filename': optional(str),
  'full-backing-filename': optional(str),
  'backing-filename-format': optional(str),
  snapshots: optional(array(any)),
  'backing-image': optional(any),
  'format-specific': optional(any),
});

const dirtyBitmapInfo = struct('BlockDirtyInfo', {
  name: optional(str),
  count: int64,
  granularity: uint32,
  recording: bool,
  busy: bool,
  persistent: bool,
  inconsistent: optional(bool),
});

export const blockDeviceInfoType = struct('BlockDeviceInfo', {
  file: str,
  'node-name': optional(str),
  ro: bool,
  active: bool,
  drv: str,
  backing_file: optional(str),
  backing_file_depth: int64,
  encrypted: bool,
  detect_zeroes: enumeration('BlockdevDetectZeroesOptions', ['off', 'on', 'unmap']),
  bps: int64,
  bps_rd: int64,
  bps_wr: int64,
  iops: int64,
  iops_rd: int64,
  iops_wr: int64,
  image: imageInfoType,
  bps_max: optional(int64),
  bps_rd_max: optional(int64),
  bps_wr_max: optional(int64),
  iops_max: optional(int64),
  iops_rd_max: optional(int64),
  iops_wr_max: optional(int64),
  bps_max_length: optional(int64),
  bps_rd_max_length: optional(int64),
  bps_wr_max_length: optional(int64),
  iops_max_length: optional(int64),
  iops_rd_max_length: optional(int64),
  iops_wr_max_length: optional(int64),
  iops_size: optional(int64),
  group: optional(str),
  cache: struct('BlockdevCacheInfo', { writeback: bool, direct: bool, 'no-flush': bool }),
  write_threshold: int64,
  'dirty-bitmaps': optional(array(dirtyBitmapInfo)),
});

/** Members that are unset are absent. */
type Described = Record<string, unknown>;

/** `flat`: without what is below the node in its chain. `backend`: the device whose medium it is. */
export async function blockDeviceInfo(
  node: BlockNode,
  flat: boolean,
  backend?: BlockBackend,
): Promise<Described> {
  const image = await imageInfo(node);
  let depth = 0;
  let innermost = image;
  if (!flat) {
    for (const below of chainFrom(nextInChain(node))) {
      const info = await imageInfo(below);
      innermost['backing-image'] = info;
      innermost = info;
      depth++;
    }
  }
  const { direct, noFlush, detectZeroes } = node.flags;
  return {
    file: filenameOf(node),
    'node-name': node.name,
    ro: node.flags.inactive?.readOnly ?? node.readOnly,
    active: !node.flags.inactive,
    drv: node.definition.name,
    ...withoutUndefined({ backing_file: backingFileOf(node) }),
    backing_file_depth: depth,
    encrypted: infoOf(node)?.encrypted ?? false,
    detect_zeroes: detectZeroes,
    ...throttleInfo(backend),
    image,
    cache: { writeback: !backend?.writethrough, direct, 'no-flush': noFlush },
    write_threshold: writeThresholdOf(node),
    ...withoutUndefined({ 'dirty-bitmaps': bitmapsOf(node).query() }),
  };
}

/** Of the backing file that is there; the image may name another, or one that was left out. */
function backingFileOf(node: BlockNode): string | undefined {
  const backing = node.backing();
  return backing && filenameOf(backing);
}

/** Without the images below. */
async function imageInfo(node: BlockNode): Promise<Described> {
  const info = infoOf(node);
  const { backing } = node.driver;
  return {
    'virtual-size': node.length,
    filename: filenameOf(node),
    format: node.definition.name,
    ...withoutUndefined({ 'actual-size': await allocatedBytes(node) }),
    ...(info ? { 'dirty-flag': info.isDirty ?? false } : {}),
    ...withoutUndefined({ 'cluster-size': info?.clusterBytes, encrypted: info?.encrypted || undefined }),
    ...(backing
      ? {
          'backing-filename': backing.filename,
          ...withoutUndefined({
            'full-backing-filename': fullBackingName(node, backing.filename),
            'backing-filename-format': backing.format,
          }),
        }
      : {}),
    ...withoutUndefined({
      snapshots: info?.snapshots?.length ? info.snapshots : undefined,
      'format-specific': node.driver.info?.().formatSpecific,
    }),
  };
}

/**
 * What the driver tells about itself; filters and bare formats tell what is below them. Undefined: nothing, and QEMU
 * leaves out even whether the image is dirty.
 */
export function infoOf(node: BlockNode): DriverInfo | undefined {
  const own = node.driver.info?.();
  if (own) return own;
  const below = node.filtered() ?? node.primaryChild()?.node;
  return below && infoOf(below);
}

function fullBackingName(node: BlockNode, name: string): string | undefined {
  try {
    return resolveBackingName(node, name);
  } catch (error) {
    if (error instanceof BlockError) return undefined;
    throw error;
  }
}
