/** job-pause: Holds a job at its next pause point. */
import { str, struct } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';

export const jobPause = defineCommand({
  name: 'job-pause',
  args: struct('JobPauseArguments', { id: str }),
  async run({ jobs }, { id }) {
    const job = jobs.get(id);
    job.pause();
    await job.reaction();
    return {};
  },
});
