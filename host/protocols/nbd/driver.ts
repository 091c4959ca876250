/**
 * The `nbd` protocol: a disk that an NBD server exports (specification: nbd, section 5).
 *
 * What speaks to servers is loaded when the first one is named: not everybody has one. Differences from QEMU: several
 * connections to servers that take them; servers behind WebSockets.
 */
import type { DriverDefinition } from '../../block/driver.ts';
import { loadPart } from '../../platform/platform.ts';
import { nameOf, optionsOfName } from './filename.ts';
import { addressOf, type NbdOptions, oldOptions, options, strongOptions } from './options.ts';

export const nbd: DriverDefinition<NbdOptions> = {
  name: 'nbd',
  kind: 'protocol',
  options,
  strongOptions,
  oldOptions,
  withoutFolder: 'NBD',
  filenamePrefix: 'nbd',
  otherPrefixes: ['nbd+tcp', 'nbd+unix', 'nbd+ws', 'nbd+wss'],
  parseFilename: (filename) => ({ ...optionsOfName(filename) }),
  exactFilename: (given) => nameOf(addressOf(given), given.export ?? ''),
  async open(context, given) {
    const { openDisk } = await loadPart(context.platform, () => import('./on-server.ts'));
    return openDisk(context, given);
  },
  create: {
    options: [{ name: 'preallocation', type: 'string', help: 'Preallocation mode (allowed values: off)' }],
    async createFile(platform, filename, values) {
      const { createOnServer } = await loadPart(platform, () => import('./on-server.ts'));
      await createOnServer(platform, filename, values);
    },
  },
};
