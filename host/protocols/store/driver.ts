/**
 * The `store` protocol: a disk as a snapshot in a backup repository has it, read without being restored first (specification: store,
 * section 10). Not a QEMU driver.
 *
 * It is read-only: an overlay on it runs at once, and `block-stream` fills that one meanwhile. What reads repositories is loaded when the
 * first such node is opened: not everybody has one.
 */
import type { DriverDefinition } from '../../block/driver.ts';
import { loadPart } from '../../platform/platform.ts';
import { options, type StoreOptions } from './options.ts';

export const store: DriverDefinition<StoreOptions> = {
  name: 'store',
  kind: 'protocol',
  options,
  strongOptions: options.members.map(({ name }) => name),
  withoutFolder: 'store',
  exactFilename: () => undefined,
  async open(context, given) {
    const { openStoredDisk } = await loadPart(context.platform, () => import('./stored-disk.ts'));
    return openStoredDisk(context, given);
  },
};
