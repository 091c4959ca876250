/**
 * The events that clients may get, with their data, in the order of `query-qmp-schema`.
 *
 * Block layer and jobs emit them by name; this table is what clients are told about them, and which of them are
 * rate-limited (event-limiter.ts).
 */
import { faultReasons } from '../base/errors.ts';
import { bool, enumeration, int, optional, type StructType, str, struct, uint64 } from '../qapi/types.ts';
import { jobStatus, jobType } from './job-types.ts';
import { nearlyFull } from './saving-info.ts';

export interface EventDefinition {
  readonly name: string;
  readonly data: StructType;
  /** At most one goes out per second; those of one value of this member count by themselves. */
  readonly rateLimit?: { readonly key?: string };
}

const operation = enumeration('IoOperationType', ['read', 'write']);
const action = enumeration('BlockErrorAction', ['ignore', 'report', 'stop']);

const jobProgress = {
  type: jobType,
  device: str,
  len: int,
  offset: int,
  speed: int,
};

export const events: readonly EventDefinition[] = [
  {
    name: 'BLOCK_IMAGE_CORRUPTED',
    data: struct('BlockImageCorrupted', {
      device: str,
      'node-name': optional(str),
      msg: str,
      offset: optional(int),
      size: optional(int),
      fatal: bool,
    }),
  },
  {
    name: 'BLOCK_JOB_COMPLETED',
    data: struct('BlockJobCompleted', { ...jobProgress, error: optional(str) }),
  },
  { name: 'BLOCK_JOB_CANCELLED', data: struct('BlockJobCancelled', jobProgress) },
  { name: 'BLOCK_JOB_ERROR', data: struct('BlockJobError', { device: str, operation, action }) },
  { name: 'BLOCK_JOB_READY', data: struct('BlockJobReady', jobProgress) },
  { name: 'BLOCK_JOB_PENDING', data: struct('BlockJobPending', { type: jobType, id: str }) },
  {
    name: 'BLOCK_WRITE_THRESHOLD',
    data: struct('BlockWriteThreshold', {
      'node-name': str,
      'amount-exceeded': uint64,
      'write-threshold': uint64,
    }),
  },
  {
    name: 'BLOCK_IO_ERROR',
    data: struct('BlockIoError', {
      'qom-path': str,
      device: str,
      'node-name': optional(str),
      operation,
      action,
      nospace: optional(bool),
      reason: str,
    }),
  },
  {
    // Ours: a server does not answer as it should, and requests are tried again before a guest is told.
    name: 'X_BLOCK_TROUBLE',
    data: struct('BlockTrouble', {
      'node-name': str,
      lasting: bool,
      reason: optional(enumeration('BlockFailureReason', faultReasons)),
      message: optional(str),
    }),
    rateLimit: { key: 'node-name' },
  },
  // Ours: old data comes faster than the target of a copy takes it.
  { name: 'X_CBW_BUFFER_NEARLY_FULL', data: nearlyFull },
  {
    name: 'QUORUM_FAILURE',
    data: struct('QuorumFailure', { reference: str, 'sector-num': int, 'sectors-count': int }),
    rateLimit: {},
  },
  {
    name: 'QUORUM_REPORT_BAD',
    data: struct('QuorumReportBad', {
      type: enumeration('QuorumOpType', ['read', 'write', 'flush']),
      error: optional(str),
      'node-name': str,
      'sector-num': int,
      'sectors-count': int,
    }),
    rateLimit: { key: 'node-name' },
  },
  { name: 'BLOCK_EXPORT_DELETED', data: struct('BlockExportDeleted', { id: str }) },
  { name: 'JOB_STATUS_CHANGE', data: struct('JobStatusChange', { id: str, status: jobStatus }) },
];

const empty = struct('q_empty', {});
const reset = {
  guest: bool,
  reason: enumeration('ShutdownCause', [
    'none',
    'host-error',
    'host-qmp-quit',
    'host-qmp-system-reset',
    'host-signal',
    'host-ui',
    'guest-shutdown',
    'guest-reset',
    'guest-panic',
    'subsystem-reset',
    'snapshot-load',
  ]),
};

/** What a machine tells beside them. */
export const machineEvents: readonly EventDefinition[] = [
  {
    name: 'DEVICE_TRAY_MOVED',
    data: struct('DeviceTrayMoved', { device: str, id: str, 'tray-open': bool }),
  },
  { name: 'DEVICE_DELETED', data: struct('DeviceDeleted', { device: optional(str), path: str }) },
  { name: 'SHUTDOWN', data: struct('Shutdown', reset) },
  { name: 'RESET', data: struct('Reset', reset) },
  { name: 'POWERDOWN', data: empty },
  { name: 'STOP', data: empty },
  { name: 'RESUME', data: empty },
];
