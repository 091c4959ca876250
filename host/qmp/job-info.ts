/**
 * What queries tell about a job (specification: jobs, section 3).
 */
import { withoutUndefined } from '../base/without-undefined.ts';
import type { Job } from '../jobs/job.ts';
import {
  bool,
  enumeration,
  int64,
  optional,
  str,
  struct,
  type TypeOf,
  type UnionType,
} from '../qapi/types.ts';
import { jobStatus, jobType } from './job-types.ts';
import { savingInfo, savingType } from './saving-info.ts';

/** Ours: of a backup of which somebody has said how guests' writes are to be buffered. */
const saving = { 'x-cbw': optional(savingType) };

export const jobInfoType = struct('JobInfo', {
  id: str,
  type: jobType,
  status: jobStatus,
  'current-progress': int64,
  'total-progress': int64,
  error: optional(str),
  ...saving,
});

const blockJobInfoBase = struct('BlockJobInfoBase', {
  type: jobType,
  device: str,
  len: int64,
  offset: int64,
  busy: bool,
  paused: bool,
  speed: int64,
  'io-status': enumeration('BlockDeviceIoStatus', ['ok', 'failed', 'nospace']),
  ready: bool,
  status: jobStatus,
  'auto-finalize': bool,
  'auto-dismiss': bool,
  error: optional(str),
  ...saving,
});

const mirrorInfo = struct('BlockJobInfoMirror', { 'actively-synced': bool });

type BlockJobInfo = TypeOf<typeof blockJobInfoBase> & Partial<TypeOf<typeof mirrorInfo>>;

export const blockJobInfoType: UnionType<BlockJobInfo> = {
  kind: 'union',
  name: 'BlockJobInfo',
  base: blockJobInfoBase,
  discriminator: 'type',
  branches: () => ({ mirror: mirrorInfo }),
};

/** For query-jobs. */
export function jobInfo(job: Job): TypeOf<typeof jobInfoType> {
  return {
    id: job.id,
    type: job.type,
    status: job.status,
    'current-progress': job.progress.current,
    'total-progress': job.progress.total,
    ...withoutUndefined({ error: job.error?.message }),
    ...savingOf(job),
  };
}

/** For query-block-jobs. */
export function blockJobInfo(job: Job): BlockJobInfo {
  return {
    type: job.type,
    device: job.id,
    len: job.progress.total,
    offset: job.progress.current,
    busy: job.isBusy,
    paused: job.isPaused,
    speed: job.speed,
    'io-status': job.ioStatus,
    ready: job.isReady,
    status: job.status,
    'auto-finalize': job.autoFinalize,
    'auto-dismiss': job.autoDismiss,
    ...withoutUndefined({ error: job.error?.message, 'actively-synced': job.driver.isActivelySynced?.() }),
    ...savingOf(job),
  };
}

function savingOf({ driver }: Job): { 'x-cbw'?: TypeOf<typeof savingType> } {
  return driver.saving ? { 'x-cbw': savingInfo(driver.saving) } : {};
}
