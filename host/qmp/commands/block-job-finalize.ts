/** block-job-finalize: Lets a pending job, and the transaction it is in, make its result final. */
import { defineBlockJobCommand } from '../job-command.ts';

export const blockJobFinalize = defineBlockJobCommand('block-job-finalize', 'id', (job) => job.finalize());
