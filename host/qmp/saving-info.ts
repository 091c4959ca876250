/**
 * What queries tell about the copies that guests' writes wait for (specification: jobs, section 7). Ours: QEMU has no
 * buffer for them.
 */
import type { BufferFill } from '../copy/save-buffer.ts';
import type { SavingInfo } from '../jobs/job.ts';
import { int, optional, size, str, struct, type TypeOf } from '../qapi/types.ts';

const fillMembers = {
  /** Bytes of memory, and how many of them hold old data. */
  'buffer-size': size,
  buffered: size,
  /** Bytes of the spill file; its size is 0 when there is none. */
  'spill-size': size,
  spilled: size,
};

export const savingType = struct('CbwSaving', {
  /** Absent: guests wait for the target. */
  fill: optional(struct('CbwBufferFill', fillMembers)),
  /** Writes of guests that had to wait for old data to be saved, since the start. */
  'guest-waits': int,
  /** In nanoseconds: what half of them, and 99 in a hundred, did not exceed, and the longest. */
  'wait-p50-ns': int,
  'wait-p99-ns': int,
  'wait-max-ns': int,
});

export const nearlyFull = struct('CbwBufferNearlyFull', { 'node-name': str, ...fillMembers });

/** For queries. */
export function savingInfo({ fill, waits }: SavingInfo): TypeOf<typeof savingType> {
  return {
    ...(fill && { fill: fillInfo(fill) }),
    'guest-waits': waits.count,
    'wait-p50-ns': Math.round(waits.quantileNs(0.5)),
    'wait-p99-ns': Math.round(waits.quantileNs(0.99)),
    'wait-max-ns': Math.round(waits.longestNs),
  };
}

function fillInfo(fill: BufferFill): NonNullable<TypeOf<typeof savingType>['fill']> {
  return {
    'buffer-size': fill.bufferBytes,
    buffered: fill.bufferedBytes,
    'spill-size': fill.spillBytes,
    spilled: fill.spilledBytes,
  };
}
