/**
 * The `s3` protocol: an object of an object store, read in ranges like any file on a web server, with requests that are signed. Not a QEMU
 * driver.
 *
 * An object cannot be changed. One can be made, from its beginning to its end (`img convert`), and is there when it is complete. What
 * speaks to stores is loaded when the first object is named: not everybody has one.
 */
import type { DriverDefinition } from '../../block/driver.ts';
import { loadPart } from '../../platform/platform.ts';
import { creationOptions, options, type S3Options } from './options.ts';

export const s3: DriverDefinition<S3Options> = {
  name: 's3',
  kind: 'protocol',
  options,
  strongOptions: options.members.map(({ name }) => name),
  filenamePrefix: 's3',
  otherPrefixes: ['https+s3', 'http+s3'],
  parseFilename: (filename) => ({ url: filename }),
  exactFilename: ({ url, ...others }) =>
    Object.values(others).some((value) => value !== undefined) ? undefined : url,
  async open(context, given) {
    const { openObject } = await loadPart(context.platform, () => import('./object.ts'));
    return openObject(context, given);
  },
  create: {
    options: creationOptions,
    async beginFile(context, filename, values, bounds) {
      const { beginObject } = await loadPart(context.platform, () => import('./object.ts'));
      return beginObject(context, filename, values, bounds);
    },
  },
};
