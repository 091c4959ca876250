/** job-dismiss: Forgets a concluded job; its id is free again. */
import { defineJobCommand } from '../job-command.ts';

export const jobDismiss = defineJobCommand('job-dismiss', (job) => job.dismiss());
