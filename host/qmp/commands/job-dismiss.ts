/** job-dismiss: Forgets a concluded job; its id is free again. */
import { str, struct } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';

export const jobDismiss = defineCommand({
  name: 'job-dismiss',
  args: struct('JobDismissArguments', { id: str }),
  async run({ jobs }, { id }) {
    jobs.get(id).dismiss();
    return {};
  },
});
