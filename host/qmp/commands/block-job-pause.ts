/** block-job-pause: Holds a job at its next pause point. */
import { str, struct } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';

export const blockJobPause = defineCommand({
  name: 'block-job-pause',
  args: struct('BlockJobPauseArguments', { device: str }),
  async run({ jobs }, { device }) {
    const job = jobs.getBlockJob(device);
    job.pause();
    await job.reaction();
    return {};
  },
});
