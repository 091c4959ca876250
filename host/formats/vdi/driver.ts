/**
 * vdi: the disk images of VirtualBox, static and dynamic (specification: vdi).
 *
 * Images that hold what changed since another one are refused. What reads and writes images is loaded with the first
 * that is opened or made.
 */
import { BlockError } from '../../base/errors.ts';
import { wholeSectors } from '../../base/sectors.ts';
import type { CreateJobDefinition, DriverDefinition } from '../../block/driver.ts';
import { loadPart } from '../../platform/platform.ts';
import { preallocationMode } from '../../qapi/block-types.ts';
import { optional, size, struct, type TypeOf } from '../../qapi/types.ts';
import { checkDiskBytes } from './limits.ts';

const createJobOptions = struct('BlockdevCreateOptionsVdi', {
  size,
  preallocation: optional(preallocationMode),
});

const job: CreateJobDefinition<TypeOf<typeof createJobOptions>> = {
  options: createJobOptions,
  children: [{ name: 'file' }],
  values({ size, preallocation = 'off' }) {
    checkPreallocation(preallocation);
    checkDiskBytes(BigInt(size));
    return { size, static: preallocation === 'metadata' };
  },
};

function checkPreallocation(mode: string): void {
  if (mode !== 'off' && mode !== 'metadata')
    throw new BlockError('ENOTSUP', 'Preallocation mode not supported for vdi');
}

export const vdi: DriverDefinition = {
  name: 'vdi',
  kind: 'format',
  children: [{ name: 'file' }],
  options: struct('BlockdevOptionsGenericFormat', {}),
  // The signature, behind a text for people.
  probe: (head) => ([0x7f, 0x10, 0xda, 0xbe].every((byte, i) => head[64 + i] === byte) ? 100 : 0),
  async open(context) {
    const { openVdi } = await loadPart(context.platform, () => import('./image.ts'));
    return openVdi(context);
  },
  async check(driver, options) {
    const { checkVdi } = await import('./image.ts');
    return checkVdi(driver, options);
  },
  create: {
    options: [
      { name: 'size', type: 'size', help: 'Virtual disk size' },
      { name: 'static', type: 'bool', help: 'VDI static (pre-allocated) image', default: 'off' },
    ],
    job,
    checkValues: (values) => checkDiskBytes(BigInt(values['size'] as number)),
    async createImage(file, values) {
      const { createVdi } = await loadPart(file.node.graph.platform, () => import('./image.ts'));
      const diskBytes = wholeSectors(Number(values['size']));
      await createVdi(file, { isStatic: values['static'] === true, diskBytes });
    },
  },
};
