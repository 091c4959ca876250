/**
 * The registry: every driver blockyard has, one line each. The QMP union of blockdev-add, `-o help`, probing and the
 * conformance suite follow from it.
 */
import type { DriverDefinition } from './block/driver.ts';
import { copyBeforeWrite } from './filters/copy-before-write.ts';
import { throttle } from './filters/throttle.ts';
import { qcow2 } from './formats/qcow2/driver.ts';
import { raw } from './formats/raw.ts';
import { file } from './protocols/file.ts';
import { memory } from './protocols/memory.ts';
import { nullCo } from './protocols/null-co.ts';

export const drivers: readonly DriverDefinition[] = [
  // protocols
  file,
  memory,
  nullCo,
  // formats
  raw,
  qcow2,
  // filters
  copyBeforeWrite,
  throttle,
];
