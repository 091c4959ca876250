/** The arguments of x-store-backup. */
import { onErrorType } from '../../block/error-policy.ts';
import {
  array,
  bool,
  enumeration,
  int64,
  optional,
  size,
  str,
  struct,
  type TypeOf,
} from '../../qapi/types.ts';

const diskType = struct('StoreBackupDisk', {
  /** A device or node. */
  device: str,
  /** What it is called in the snapshot; by default as the device or node. */
  name: optional(str),
});

export const storeBackupType = struct('StoreBackup', {
  /** By default the machine's name. */
  'job-id': optional(str),
  repository: str,
  /** Id of the secret that is its password. */
  'password-secret': str,
  machine: str,
  disks: array(diskType),
  speed: optional(int64),
  'on-source-error': optional(onErrorType),
  'on-target-error': optional(onErrorType),
  'auto-finalize': optional(bool),
  'auto-dismiss': optional(bool),
  /** Bytes of memory for what guests overwrite before it has been read; more goes to a scratch file. */
  'x-cbw-buffer': optional(size),
  /** What happens to guests' writes when that is full: they wait for the scratch file, or go on and the job fails. */
  'x-cbw-policy': optional(enumeration('StoreBackupPolicy', ['wait', 'break-snapshot'])),
  /** The folder of scratch files, which have no names there; by default that for temporary files. */
  scratch: optional(str),
});

export type StoreBackupOptions = TypeOf<typeof storeBackupType>;
