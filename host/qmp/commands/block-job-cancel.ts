/** block-job-cancel: ends a job; without `force` not one that a user has paused. */
import { invalid } from '../../base/errors.ts';
import { bool, optional, str, struct } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';

export const blockJobCancel = defineCommand({
  name: 'block-job-cancel',
  args: struct('BlockJobCancelArguments', { device: str, force: optional(bool) }),
  async run({ jobs }, { device, force = false }) {
    const job = jobs.getBlockJob(device);
    if (job.userPaused && !force) {
      throw invalid(`The block job for device '${device}' is currently paused`);
    }
    await job.cancel(force);
    return {};
  },
});
