/**
 * All commands, one line each, in the order of their registration, which is QEMU's.
 */
import type { AnyCommand } from '../registry.ts';
import { blockJobCancel } from './block-job-cancel.ts';
import { blockJobComplete } from './block-job-complete.ts';
import { blockJobDismiss } from './block-job-dismiss.ts';
import { blockJobFinalize } from './block-job-finalize.ts';
import { blockJobPause } from './block-job-pause.ts';
import { blockJobResume } from './block-job-resume.ts';
import { blockJobSetSpeed } from './block-job-set-speed.ts';
import { blockResize } from './block-resize.ts';
import { blockdevAdd } from './blockdev-add.ts';
import { blockdevBackup } from './blockdev-backup.ts';
import { blockdevDel } from './blockdev-del.ts';
import { driveBackup } from './drive-backup.ts';
import { jobCancel } from './job-cancel.ts';
import { jobComplete } from './job-complete.ts';
import { jobDismiss } from './job-dismiss.ts';
import { jobFinalize } from './job-finalize.ts';
import { jobPause } from './job-pause.ts';
import { jobResume } from './job-resume.ts';
import { qmpCapabilities } from './qmp-capabilities.ts';
import { queryBlock } from './query-block.ts';
import { queryBlockJobs } from './query-block-jobs.ts';
import { queryCommands } from './query-commands.ts';
import { queryJobs } from './query-jobs.ts';
import { queryNamedBlockNodes } from './query-named-block-nodes.ts';
import { queryQmpSchema } from './query-qmp-schema.ts';
import { queryVersion } from './query-version.ts';
import { quit } from './quit.ts';
import { transaction } from './transaction.ts';

export const commands: readonly AnyCommand[] = [
  queryBlock,
  queryBlockJobs,
  blockResize,
  driveBackup,
  blockdevBackup,
  queryNamedBlockNodes,
  blockJobSetSpeed,
  blockJobCancel,
  blockJobPause,
  blockJobResume,
  blockJobComplete,
  blockJobDismiss,
  blockJobFinalize,
  blockdevAdd,
  blockdevDel,
  jobPause,
  jobResume,
  jobCancel,
  jobComplete,
  jobDismiss,
  jobFinalize,
  queryJobs,
  transaction,
  qmpCapabilities,
  queryVersion,
  queryCommands,
  quit,
  queryQmpSchema,
];
