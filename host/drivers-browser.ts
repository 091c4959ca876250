/**
 * The drivers for a browser: those of a host, with the browser's storage in place of files.
 */
import type { DriverDefinition } from './block/driver.ts';
import { drivers } from './drivers.ts';
import { blob } from './protocols/blob.ts';
import { opfs } from './protocols/opfs.ts';

export const browserDrivers: readonly DriverDefinition[] = [
  opfs,
  blob,
  ...drivers.filter(({ name }) => name !== 'file'),
];
