/**
 * The qcow2 driver, as the registry has it (specification: qcow2). What an open image does is in live/image.ts; where the
 * rest is, README.md says.
 */
import { BlockError } from '../../base/errors.ts';
import type { CheckOptions, CheckResult, Driver, DriverDefinition } from '../../block/driver.ts';
import { loadPart } from '../../platform/platform.ts';
import { qcow2Create } from './create/create.ts';
import { amendJobOptions, checkAmendJob } from './create/create-job.ts';
import { magic } from './disk/header.ts';
import { viewOf } from './disk/image-file.ts';
import { amendOptions } from './live/amend-options.ts';
import { CheckOnlyDriver, open, Qcow2Driver } from './live/image.ts';
import { type Qcow2Options, qcow2Options } from './options.ts';

export const qcow2: DriverDefinition<Qcow2Options> = {
  name: 'qcow2',
  kind: 'format',
  children: [{ name: 'file' }, { name: 'backing', optional: true, nullable: true }],
  options: qcow2Options,
  // All that can be chosen when it is opened, but for where data is and how it is encrypted.
  reopenableOptions: qcow2Options.members
    .map(({ name }) => name)
    .filter((name) => name !== 'encrypt' && name !== 'data-file'),
  supportsBacking: true,
  probe: (head) =>
    head.length >= 8 && viewOf(head).getUint32(0) === magic && viewOf(head).getUint32(4) >= 2 ? 100 : 0,
  open,
  create: qcow2Create,
  amend: {
    options: amendJobOptions,
    check: checkAmendJob,
    imageOptions: amendOptions,
    async plan(image, values) {
      const { driver } = image.node.skipFilters();
      if (!(driver instanceof Qcow2Driver)) throw new BlockError('ENOTSUP');
      const { planAmend } = await loadPart(driver.context.platform, () => import('./live/on-demand.ts'));
      return planAmend(image, driver, values);
    },
  },
  async check(driver: Driver, options: CheckOptions): Promise<CheckResult> {
    if (!(driver instanceof CheckOnlyDriver))
      throw new BlockError('ENOTSUP', 'The image is not open for checking');
    // Loaded when it is used: few pages ever check an image.
    const { checkImage } = await import('./live/on-demand.ts');
    return checkImage(driver.file, options);
  },
};
