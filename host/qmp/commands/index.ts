/**
 * All commands, one line each, in the order of their registration, which is QEMU's.
 */
import type { AnyCommand } from '../command.ts';
import { blockCommit } from './block-commit.ts';
import { blockDirtyBitmapAdd } from './block-dirty-bitmap-add.ts';
import { blockDirtyBitmapClear } from './block-dirty-bitmap-clear.ts';
import { blockDirtyBitmapDisable } from './block-dirty-bitmap-disable.ts';
import { blockDirtyBitmapEnable } from './block-dirty-bitmap-enable.ts';
import { blockDirtyBitmapMerge } from './block-dirty-bitmap-merge.ts';
import { blockDirtyBitmapRemove } from './block-dirty-bitmap-remove.ts';
import { blockJobCancel } from './block-job-cancel.ts';
import { blockJobChange } from './block-job-change.ts';
import { blockJobComplete } from './block-job-complete.ts';
import { blockJobDismiss } from './block-job-dismiss.ts';
import { blockJobFinalize } from './block-job-finalize.ts';
import { blockJobPause } from './block-job-pause.ts';
import { blockJobResume } from './block-job-resume.ts';
import { blockJobSetSpeed } from './block-job-set-speed.ts';
import { blockLatencyHistogramSet } from './block-latency-histogram-set.ts';
import { blockResize } from './block-resize.ts';
import { blockSetIoThrottle } from './block-set-io-throttle.ts';
import { blockSetWriteThreshold } from './block-set-write-threshold.ts';
import { blockStream } from './block-stream.ts';
import { blockdevAdd } from './blockdev-add.ts';
import { blockdevBackup } from './blockdev-backup.ts';
import { blockdevCreate } from './blockdev-create.ts';
import { blockdevDel } from './blockdev-del.ts';
import { blockdevMirror } from './blockdev-mirror.ts';
import { blockdevReopen } from './blockdev-reopen.ts';
import { blockdevSetActive } from './blockdev-set-active.ts';
import { blockdevSnapshot } from './blockdev-snapshot.ts';
import { blockdevSnapshotDeleteInternalSync } from './blockdev-snapshot-delete-internal-sync.ts';
import { blockdevSnapshotInternalSync } from './blockdev-snapshot-internal-sync.ts';
import { blockdevSnapshotSync } from './blockdev-snapshot-sync.ts';
import { changeBackingFile } from './change-backing-file.ts';
import { driveBackup } from './drive-backup.ts';
import { driveMirror } from './drive-mirror.ts';
import { jobCancel } from './job-cancel.ts';
import { jobComplete } from './job-complete.ts';
import { jobDismiss } from './job-dismiss.ts';
import { jobFinalize } from './job-finalize.ts';
import { jobPause } from './job-pause.ts';
import { jobResume } from './job-resume.ts';
import { objectAdd } from './object-add.ts';
import { objectDel } from './object-del.ts';
import { qmpCapabilities } from './qmp-capabilities.ts';
import { qomGet } from './qom-get.ts';
import { qomList } from './qom-list.ts';
import { qomSet } from './qom-set.ts';
import { queryBlock } from './query-block.ts';
import { queryBlockJobs } from './query-block-jobs.ts';
import { queryBlockstats } from './query-blockstats.ts';
import { queryCommands } from './query-commands.ts';
import { queryJobs } from './query-jobs.ts';
import { queryNamedBlockNodes } from './query-named-block-nodes.ts';
import { queryQmpSchema } from './query-qmp-schema.ts';
import { queryVersion } from './query-version.ts';
import { quit } from './quit.ts';
import { traceEventGetState } from './trace-event-get-state.ts';
import { traceEventSetState } from './trace-event-set-state.ts';
import { transaction } from './transaction.ts';
import { xBlockDirtyBitmapMap } from './x-block-dirty-bitmap-map.ts';
import { blockdevAmend } from './x-blockdev-amend.ts';
import { xBlockdevChange } from './x-blockdev-change.ts';
import { xBlockdevSetIothread } from './x-blockdev-set-iothread.ts';
import { xDebugBlockDirtyBitmapSha256 } from './x-debug-block-dirty-bitmap-sha256.ts';
import { xDebugQueryBlockGraph } from './x-debug-query-block-graph.ts';
import { xQueryBlockFailures } from './x-query-block-failures.ts';
import { xQueryCbw } from './x-query-cbw.ts';

/** The QMP commands of a storage daemon: those that need no machine. */
export const commands: readonly AnyCommand[] = [
  queryBlock,
  queryBlockstats,
  blockSetIoThrottle,
  queryBlockJobs,
  blockLatencyHistogramSet,
  blockResize,
  blockSetWriteThreshold,
  blockStream,
  blockCommit,
  driveBackup,
  blockdevBackup,
  blockdevCreate,
  blockdevAmend,
  queryNamedBlockNodes,
  driveMirror,
  blockDirtyBitmapAdd,
  blockDirtyBitmapRemove,
  blockDirtyBitmapClear,
  blockDirtyBitmapEnable,
  blockDirtyBitmapDisable,
  blockDirtyBitmapMerge,
  blockdevMirror,
  xBlockdevChange,
  xBlockdevSetIothread,
  xDebugBlockDirtyBitmapSha256,
  xDebugQueryBlockGraph,
  blockJobSetSpeed,
  blockJobCancel,
  blockJobPause,
  blockJobResume,
  blockJobComplete,
  blockJobDismiss,
  blockJobFinalize,
  blockJobChange,
  blockdevAdd,
  blockdevDel,
  blockdevReopen,
  blockdevSetActive,
  blockdevSnapshot,
  blockdevSnapshotInternalSync,
  blockdevSnapshotDeleteInternalSync,
  blockdevSnapshotSync,
  changeBackingFile,
  jobPause,
  jobResume,
  jobCancel,
  jobComplete,
  jobDismiss,
  jobFinalize,
  queryJobs,
  transaction,
  traceEventGetState,
  traceEventSetState,
  qmpCapabilities,
  queryVersion,
  queryCommands,
  quit,
  queryQmpSchema,
  qomList,
  qomGet,
  qomSet,
  objectAdd,
  objectDel,
  xBlockDirtyBitmapMap,
  xQueryBlockFailures,
  xQueryCbw,
];
