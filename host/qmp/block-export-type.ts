/**
 * The ways in which a node can be given to others (QAPI BlockExportType), whether they are served here or not. `nbd-ws` is our own.
 */
import { enumeration } from '../qapi/types.ts';

export const blockExportType = enumeration('BlockExportType', [
  'nbd',
  'vhost-user-blk',
  'fuse',
  'vduse-blk',
  'nbd-ws',
]);
