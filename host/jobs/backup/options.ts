/**
 * The arguments that drive-backup and blockdev-backup share (QAPI BackupCommon), and what can be said against them
 * before anything is changed (specification: jobs, section 7). The order of the checks is QEMU's.
 */
import { invalid } from '../../base/errors.ts';
import { isBelow } from '../../block/chain.ts';
import { onErrorType } from '../../block/error-policy.ts';
import type { BlockNode } from '../../block/node.ts';
import { bufferOptions, checkBuffer } from '../../copy/buffer-options.ts';
import { defaultBufferBytes } from '../../copy/save-buffer.ts';
import {
  bool,
  enumeration,
  extend,
  int64,
  optional,
  size,
  str,
  struct,
  type TypeOf,
} from '../../qapi/types.ts';

export const mirrorSyncMode = enumeration('MirrorSyncMode', ['top', 'full', 'none', 'incremental', 'bitmap']);

const backupPerf = struct('BackupPerf', {
  'use-copy-range': optional(bool),
  'max-workers': optional(int64),
  'max-chunk': optional(int64),
  'min-cluster-size': optional(size),
});

const qemuCommon = struct('BackupCommonQemu', {
  'job-id': optional(str),
  device: str,
  sync: mirrorSyncMode,
  speed: optional(int64),
  bitmap: optional(str),
  'bitmap-mode': optional(enumeration('BitmapSyncMode', ['on-success', 'never', 'always'])),
  compress: optional(bool),
  'on-source-error': optional(onErrorType),
  'on-target-error': optional(onErrorType),
  'auto-finalize': optional(bool),
  'auto-dismiss': optional(bool),
  'filter-node-name': optional(str),
  'discard-source': optional(bool),
  'x-perf': optional(backupPerf),
  /** What happens when the buffer for guests' writes is full: they wait, or they go on and the job fails or is cancelled. */
  'x-cbw-policy': optional(enumeration('CbwPolicy', ['wait', 'break-snapshot', 'cancel'])),
});

export const backupCommon = extend('BackupCommon', qemuCommon, bufferOptions);

export type BackupCommon = TypeOf<typeof backupCommon>;

const maxWorkersLimit = 2_147_483_647;
const defaultWorkers = 64;

/** What concerns source and target; bitmaps are in bitmap.ts. */
export function checkNodes(source: BlockNode, target: BlockNode, options: BackupCommon): void {
  if (source === target) throw invalid('Source and target cannot be the same');
  if (options.compress && !target.skipFilters().driver.writeCompressed) {
    throw invalid('Compression is not supported for this drive ');
  }
  source.opBlockers.check('backup-source');
  target.opBlockers.check('backup-target');
  const perf = perfOf(options);
  if (perf.maxWorkers < 1 || perf.maxWorkers > maxWorkersLimit) {
    throw invalid(`max-workers must be between 1 and ${maxWorkersLimit}`);
  }
  if (perf.maxChunkBytes < 0) throw invalid('max-chunk must be zero (which means no limit) or positive');
}

export function checkSizes(source: BlockNode, target: BlockNode): void {
  if (source.length !== target.length) throw invalid('Source and target image have different sizes');
}

/** `clusterBytes`: what the copy's clusters turned out to be. */
export function checkChunk(options: BackupCommon, clusterBytes: number): void {
  const { maxChunkBytes } = perfOf(options);
  if (maxChunkBytes > 0 && maxChunkBytes < clusterBytes) {
    throw invalid(`Required max-chunk (${maxChunkBytes}) is less than backup cluster size (${clusterBytes})`);
  }
}

/**
 * `use-copy-range` is accepted and makes no difference: it asks for an attempt at copy offload, which falls back to
 * copying silently where it is not possible.
 */
export function perfOf(options: BackupCommon): { maxWorkers: number; maxChunkBytes: number } {
  const perf = options['x-perf'] ?? {};
  return { maxWorkers: perf['max-workers'] ?? defaultWorkers, maxChunkBytes: perf['max-chunk'] ?? 0 };
}

/** Bytes of the buffer for guests' writes; 0: they wait for the target. Throws when the options contradict each other. */
export function bufferBytesOf(source: BlockNode, target: BlockNode, options: BackupCommon): number {
  const seesThrough = isBelow(target, source);
  const bytes = checkBuffer(options, seesThrough ? 0 : defaultBufferBytes);
  if (seesThrough && bytes > 0) {
    throw invalid('x-cbw-buffer must be 0 where readers of the target see the source through it');
  }
  return bytes;
}
