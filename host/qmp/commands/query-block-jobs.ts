/** query-block-jobs: jobs that work on disks, newest first. */
import { array, empty } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';
import { blockJobInfo, blockJobInfoType } from '../job-info.ts';

export const queryBlockJobs = defineCommand({
  name: 'query-block-jobs',
  args: empty,
  returns: array(blockJobInfoType),
  run: ({ jobs }) =>
    jobs
      .list()
      .filter((job) => job.driver.isBlockJob)
      .map(blockJobInfo),
});
