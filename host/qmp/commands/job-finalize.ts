/** job-finalize: Lets a pending job, and the transaction it is in, make its result final. */
import { str, struct } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';

export const jobFinalize = defineCommand({
  name: 'job-finalize',
  args: struct('JobFinalizeArguments', { id: str }),
  async run({ jobs }, { id }) {
    await jobs.get(id).finalize();
    return {};
  },
});
