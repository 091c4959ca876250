/** block-job-finalize: Lets a pending job, and the transaction it is in, make its result final. */
import { str, struct } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';

export const blockJobFinalize = defineCommand({
  name: 'block-job-finalize',
  args: struct('BlockJobFinalizeArguments', { id: str }),
  async run({ jobs }, { id }) {
    await jobs.getBlockJob(id).finalize();
    return {};
  },
});
