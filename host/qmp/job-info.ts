/**
 * What queries tell about a job (specification: jobs, section 3).
 */
import type { Job } from '../jobs/job.ts';

/** JobInfo, for query-jobs. */
export function jobInfo(job: Job): Record<string, unknown> {
  return {
    id: job.id,
    type: job.type,
    status: job.status,
    'current-progress': job.progress.current,
    'total-progress': job.progress.total,
    ...(job.error ? { error: job.error.message } : {}),
  };
}

/** BlockJobInfo, for query-block-jobs. */
export function blockJobInfo(job: Job): Record<string, unknown> {
  return {
    type: job.type,
    device: job.id,
    len: job.progress.total,
    offset: job.progress.current,
    busy: job.isBusy,
    paused: job.pauseCount > 0,
    speed: job.speed,
    'io-status': job.ioStatus,
    ready: job.isReady,
    status: job.status,
    'auto-finalize': job.autoFinalize,
    'auto-dismiss': job.autoDismiss,
    ...(job.error ? { error: job.error.message } : {}),
  };
}
