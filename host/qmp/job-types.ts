/** The enumerations about jobs that several commands and events share. */
import { transitions } from '../jobs/states.ts';
import { enumeration } from '../qapi/types.ts';

export const jobType = enumeration('JobType', [
  'commit',
  'stream',
  'mirror',
  'backup',
  'create',
  'amend',
  'snapshot-load',
  'snapshot-save',
  'snapshot-delete',
]);

export const jobStatus = enumeration('JobStatus', Object.keys(transitions));
