/**
 * The registry: every driver blockyard has, one line each. The QMP union of blockdev-add, `-o help`, probing and the
 * conformance suite follow from it.
 */
import type { DriverDefinition } from './block/driver.ts';
import { blkdebug } from './filters/blkdebug/driver.ts';
import { blkverify } from './filters/blkverify.ts';
import { compress } from './filters/compress.ts';
import { copyBeforeWrite } from './filters/copy-before-write/driver.ts';
import { copyOnRead } from './filters/copy-on-read.ts';
import { preallocate } from './filters/preallocate.ts';
import { throttle } from './filters/throttle.ts';
import { luks } from './formats/luks/driver.ts';
import { qcow2 } from './formats/qcow2/driver.ts';
import { quorum } from './formats/quorum/driver.ts';
import { raw } from './formats/raw.ts';
import { snapshotAccess } from './formats/snapshot-access.ts';
import { vdi } from './formats/vdi/driver.ts';
import { vmdk } from './formats/vmdk/driver.ts';
import { vpc } from './formats/vpc/driver.ts';
import { hostCdrom, hostDevice } from './protocols/file/device.ts';
import { file } from './protocols/file/driver.ts';
import { http, https } from './protocols/http/driver.ts';
import { memory } from './protocols/memory.ts';
import { nbd } from './protocols/nbd/driver.ts';
import { nullAio, nullCo } from './protocols/null.ts';
import { s3 } from './protocols/s3/driver.ts';
import { store } from './protocols/store/driver.ts';

/** The drivers that there are on Node. */
export const drivers: readonly DriverDefinition[] = [
  // protocols
  file,
  hostCdrom,
  hostDevice,
  http,
  https,
  memory,
  nbd,
  nullCo,
  nullAio,
  s3,
  store,
  // formats
  raw,
  qcow2,
  luks,
  vmdk,
  quorum,
  vdi,
  vpc,
  snapshotAccess,
  // filters
  blkdebug,
  blkverify,
  compress,
  copyBeforeWrite,
  copyOnRead,
  preallocate,
  throttle,
];
