/** job-cancel: Ends a job as soon as it can: always by force, unlike block-job-cancel. */
import { defineJobCommand } from '../job-command.ts';

export const jobCancel = defineJobCommand('job-cancel', (job) => job.cancel(true));
