/** Waiting for jobs, as a client of the monitor. */
import { createDeferred } from '../base/deferred.ts';
import type { JsonObject } from '../qapi/json-value.ts';
import type { EventListener } from '../qmp/client.ts';

/** What is needed of a monitor's client. */
export interface Monitor {
  qmp(command: string, args?: object): Promise<unknown>;
  on(event: string, listener: EventListener): () => void;
  /** 1, 2, …: for an id that nothing else of the kind has, or had, on this monitor. */
  nextNumber(kind: 'backup' | 'image'): number;
}

interface JobInfo {
  id: string;
  error?: string;
}

/** Runs `blockdev-create` and waits for its job. Errors: QmpError; Error with what the job has failed with. */
export async function createImage(monitor: Monitor, id: string, options: JsonObject): Promise<void> {
  const concluded = createDeferred();
  const end = monitor.on('JOB_STATUS_CHANGE', ({ data }) => {
    if (data['id'] === id && data['status'] === 'concluded') concluded.resolve();
  });
  try {
    await monitor.qmp('blockdev-create', { 'job-id': id, options });
    await concluded.promise;
  } finally {
    end();
  }
  const jobs = (await monitor.qmp('query-jobs')) as JobInfo[];
  const error = jobs.find((job) => job.id === id)?.error;
  await monitor.qmp('job-dismiss', { id });
  if (error !== undefined) throw new Error(error);
}

export type JobEnd = { outcome: 'completed' | 'cancelled' } | { outcome: 'failed'; error: string };

/** Listens from now on until `id` is gone; gives how it has ended. */
export function watchBlockJob(monitor: Monitor, id: string): { gone: Promise<JobEnd>; end(): void } {
  const ends: (() => void)[] = [];
  let how: JobEnd = { outcome: 'completed' };
  const gone = new Promise<JobEnd>((resolve) => {
    ends.push(
      monitor.on('BLOCK_JOB_COMPLETED', ({ data }) => {
        const { device, error } = data;
        if (device === id && error !== undefined) how = { outcome: 'failed', error: String(error) };
      }),
      monitor.on('BLOCK_JOB_CANCELLED', ({ data }) => {
        if (data['device'] === id) how = { outcome: 'cancelled' };
      }),
      monitor.on('JOB_STATUS_CHANGE', ({ data }) => {
        if (data['id'] === id && data['status'] === 'null') resolve(how);
      }),
    );
  });
  const end = (): void => {
    for (const stop of ends) stop();
  };
  return { gone: gone.finally(end), end };
}
