/**
 * The `opfs` protocol: an image in the file system that a browser keeps for the page's origin. Not a QEMU driver.
 *
 * It is the `file` driver without what only an operating system has. `filename` is a path from that file system's root.
 * Images are locked among nodes as QEMU locks them among processes; and a file that one tab may write no other can open.
 */
import type { DriverDefinition } from '../block/driver.ts';
import { preallocationMode } from '../qapi/block-types.ts';
import { optional, size, str, struct, type TypeOf } from '../qapi/types.ts';
import { createFile, fileCreateOptions, removeFile } from './file/create.ts';
import { file } from './file/driver.ts';

const options = struct('BlockdevOptionsOpfs', { filename: str });

type OpfsOptions = TypeOf<typeof options>;

const createJobOptions = struct('BlockdevCreateOptionsOpfs', {
  filename: str,
  size,
  preallocation: optional(preallocationMode),
});

const honoured = new Set(['size', 'preallocation']);

export const opfs: DriverDefinition<OpfsOptions> = {
  name: 'opfs',
  kind: 'protocol',
  options,
  strongOptions: ['filename'],
  filenamePrefix: 'opfs',
  servesPlainNames: true,
  parseFilename: (filename) => ({ filename: filename.replace(/^opfs:/, '') }),
  exactFilename: (given) => given.filename,
  open: (context, given) => file.open(context, given),
  create: {
    options: fileCreateOptions.filter(({ name }) => honoured.has(name)),
    job: {
      options: createJobOptions,
      values: ({ size, preallocation }: TypeOf<typeof createJobOptions>) => ({ size, preallocation }),
    },
    createFile,
    removeFile,
  },
};
