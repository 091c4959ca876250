/**
 * The qcow2 driver, as the registry has it (specification: qcow2). What an open image does is in live/image.ts; where the
 * rest is, README.md says.
 */
import { BlockError, invalid } from '../../base/errors.ts';
import { viewOf } from '../../base/view-of.ts';
import type { CheckOptions, CheckResult, Driver, DriverDefinition } from '../../block/driver.ts';
import type { BlockNode } from '../../block/node.ts';
import { loadPart } from '../../platform/platform.ts';
import { qcow2Create } from './create/create.ts';
import { amendJobOptions, amendJobValues } from './create/create-job.ts';
import { magic } from './disk/header.ts';
import { open, Qcow2Driver } from './live/image.ts';
import { CheckOnlyDriver } from './live/without-data.ts';
import { type Qcow2Options, qcow2Options } from './options.ts';

/** Errors: ENOTSUP, the image is open for something else than its data. */
function driverOf({ driver }: BlockNode): Qcow2Driver {
  if (!(driver instanceof Qcow2Driver)) throw new BlockError('ENOTSUP');
  return driver;
}

export const qcow2: DriverDefinition<Qcow2Options> = {
  name: 'qcow2',
  kind: 'format',
  children: [{ name: 'file' }, { name: 'backing', optional: true, nullable: true }],
  options: qcow2Options,
  strongOptions: ['encrypt'],
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
    async change(node, options, how) {
      const values = amendJobValues(options);
      if (!values) return;
      const { encryption } = driverOf(node);
      if (!encryption?.planSlotChange) throw invalid("image is not encrypted, can't amend");
      if (node.readOnly) throw new BlockError('EACCES', 'Image is read-only');
      await encryption.planSlotChange(node.graph, values, how)();
    },
    imageOptions: async () => (await import('./live/on-demand.ts')).amendOptions,
    async plan(image, values, how) {
      const driver = driverOf(image.node.skipFilters());
      const { planAmend } = await loadPart(driver.context.platform, () => import('./live/on-demand.ts'));
      return planAmend(image, driver, values, how);
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
