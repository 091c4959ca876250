/** query-jobs: all jobs, newest first. */
import { array, empty } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';
import { jobInfo, jobInfoType } from '../job-info.ts';

export const queryJobs = defineCommand({
  name: 'query-jobs',
  args: empty,
  returns: array(jobInfoType),
  run: ({ jobs }) => jobs.list().map(jobInfo),
});
