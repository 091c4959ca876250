/** block-job-pause: Holds a job at its next pause point. */
import { defineBlockJobCommand } from '../job-command.ts';

export const blockJobPause = defineBlockJobCommand('block-job-pause', 'device', async (job) => {
  job.pause();
  await job.reaction();
});
