/** job-complete: Tells a job that is ready to finish. */
import { defineJobCommand } from '../job-command.ts';

export const jobComplete = defineJobCommand('job-complete', (job) => job.complete());
