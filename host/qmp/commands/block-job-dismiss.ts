/** block-job-dismiss: Forgets a concluded job; its id is free again. */
import { defineBlockJobCommand } from '../job-command.ts';

export const blockJobDismiss = defineBlockJobCommand('block-job-dismiss', 'id', (job) => job.dismiss());
