/** block-job-complete: Tells a job that is ready to finish. */
import { str, struct } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';

export const blockJobComplete = defineCommand({
  name: 'block-job-complete',
  args: struct('BlockJobCompleteArguments', { device: str }),
  async run({ jobs }, { device }) {
    await jobs.getBlockJob(device).complete();
    return {};
  },
});
