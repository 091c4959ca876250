/** job-finalize: Lets a pending job, and the transaction it is in, make its result final. */
import { defineJobCommand } from '../job-command.ts';

export const jobFinalize = defineJobCommand('job-finalize', (job) => job.finalize());
