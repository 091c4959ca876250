/**
 * The registry: every driver blockyard has, one line each. The QMP union of blockdev-add, `-o help`, probing and the
 * conformance suite follow from it.
 */
import type { DriverDefinition } from './block/driver.ts';
import { blkdebug } from './filters/blkdebug.ts';
import { blkverify } from './filters/blkverify.ts';
import { compress } from './filters/compress.ts';
import { copyBeforeWrite } from './filters/copy-before-write.ts';
import { copyOnRead } from './filters/copy-on-read.ts';
import { preallocate } from './filters/preallocate.ts';
import { quorum } from './filters/quorum.ts';
import { snapshotAccess } from './filters/snapshot-access.ts';
import { throttle } from './filters/throttle.ts';
import { qcow2 } from './formats/qcow2/driver.ts';
import { raw } from './formats/raw.ts';
import { file } from './protocols/file.ts';
import { http, https } from './protocols/http.ts';
import { memory } from './protocols/memory.ts';
import { nullAio, nullCo } from './protocols/null.ts';

export const drivers: readonly DriverDefinition[] = [
  // protocols
  file,
  http,
  https,
  memory,
  nullCo,
  nullAio,
  // formats
  raw,
  qcow2,
  // filters
  blkdebug,
  blkverify,
  compress,
  copyBeforeWrite,
  copyOnRead,
  preallocate,
  quorum,
  snapshotAccess,
  throttle,
];
