/** job-complete: Tells a job that is ready to finish. */
import { str, struct } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';

export const jobComplete = defineCommand({
  name: 'job-complete',
  args: struct('JobCompleteArguments', { id: str }),
  async run({ jobs }, { id }) {
    await jobs.get(id).complete();
    return {};
  },
});
