/** job-pause: Holds a job at its next pause point. */
import { defineJobCommand } from '../job-command.ts';

export const jobPause = defineJobCommand('job-pause', async (job) => {
  job.pause();
  await job.reaction();
});
