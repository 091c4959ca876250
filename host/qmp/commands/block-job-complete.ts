/** block-job-complete: Tells a job that is ready to finish. */
import { defineBlockJobCommand } from '../job-command.ts';

export const blockJobComplete = defineBlockJobCommand('block-job-complete', 'device', (job) =>
  job.complete(),
);
