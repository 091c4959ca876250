/** block-job-dismiss: Forgets a concluded job; its id is free again. */
import { str, struct } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';

export const blockJobDismiss = defineCommand({
  name: 'block-job-dismiss',
  args: struct('BlockJobDismissArguments', { id: str }),
  async run({ jobs }, { id }) {
    jobs.getBlockJob(id).dismiss();
    return {};
  },
});
