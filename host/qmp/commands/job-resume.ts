/** job-resume: Lets a paused job go on. */
import { defineJobCommand } from '../job-command.ts';

export const jobResume = defineJobCommand('job-resume', (job) => job.resume());
