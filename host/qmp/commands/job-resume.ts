/** job-resume: Lets a paused job go on. */
import { str, struct } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';

export const jobResume = defineCommand({
  name: 'job-resume',
  args: struct('JobResumeArguments', { id: str }),
  async run({ jobs }, { id }) {
    jobs.get(id).resume();
    return {};
  },
});
