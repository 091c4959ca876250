/** block-job-resume: Lets a paused job go on. */
import { defineBlockJobCommand } from '../job-command.ts';

export const blockJobResume = defineBlockJobCommand('block-job-resume', 'device', (job) => job.resume());
