/**
 * The drivers of web pages, one line each: a browser's storage in place of files. What a host has to test drivers with, or
 * to vote among copies, is left out, for a page loads all that is named here.
 */
import type { DriverDefinition } from './block/driver.ts';
import { compress } from './filters/compress.ts';
import { copyBeforeWrite } from './filters/copy-before-write/driver.ts';
import { copyOnRead } from './filters/copy-on-read.ts';
import { throttle } from './filters/throttle.ts';
import { qcow2 } from './formats/qcow2/driver.ts';
import { raw } from './formats/raw.ts';
import { snapshotAccess } from './formats/snapshot-access.ts';
import { blob } from './protocols/blob.ts';
import { http, https } from './protocols/http/driver.ts';
import { memory } from './protocols/memory.ts';
import { nbd } from './protocols/nbd/driver.ts';
import { nullAio, nullCo } from './protocols/null.ts';
import { opfs } from './protocols/opfs.ts';

export const browserDrivers: readonly DriverDefinition[] = [
  // protocols
  opfs,
  blob,
  http,
  https,
  memory,
  nbd,
  nullCo,
  nullAio,
  // formats
  raw,
  qcow2,
  snapshotAccess,
  // filters
  compress,
  copyBeforeWrite,
  copyOnRead,
  throttle,
];
