/** block-job-resume: Lets a paused job go on. */
import { str, struct } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';

export const blockJobResume = defineCommand({
  name: 'block-job-resume',
  args: struct('BlockJobResumeArguments', { device: str }),
  async run({ jobs }, { device }) {
    jobs.getBlockJob(device).resume();
    return {};
  },
});
