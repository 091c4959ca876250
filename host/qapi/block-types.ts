/** QAPI types that several drivers and commands declare members of. */
import { enumeration } from './types.ts';

export const preallocationMode = enumeration('PreallocMode', ['off', 'metadata', 'falloc', 'full']);

/** Every driver that QEMU 10.0 knows by name, whether it is served here or not. */
export const blockdevDriver = enumeration('BlockdevDriver', [
  'blkdebug',
  'blklogwrites',
  'blkreplay',
  'blkverify',
  'bochs',
  'cloop',
  'compress',
  'copy-before-write',
  'copy-on-read',
  'dmg',
  'file',
  'snapshot-access',
  'ftp',
  'ftps',
  'gluster',
  'host_cdrom',
  'host_device',
  'http',
  'https',
  'iscsi',
  'luks',
  'nbd',
  'nfs',
  'null-aio',
  'null-co',
  'nvme',
  'parallels',
  'preallocate',
  'qcow',
  'qcow2',
  'qed',
  'quorum',
  'raw',
  'rbd',
  'replication',
  'ssh',
  'throttle',
  'vdi',
  'vhdx',
  'vmdk',
  'vpc',
  'vvfat',
]);

/** What is said of a value that an enum among a node's options does not have, where QEMU does not name the option. */
export const refusedValue = (text: string): string => `invalid parameter value: ${text}`;
