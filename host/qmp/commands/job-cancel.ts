/** job-cancel: Ends a job as soon as it can: always by force, unlike block-job-cancel. */
import { str, struct } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';

export const jobCancel = defineCommand({
  name: 'job-cancel',
  args: struct('JobCancelArguments', { id: str }),
  async run({ jobs }, { id }) {
    await jobs.get(id).cancel(true);
    return {};
  },
});
