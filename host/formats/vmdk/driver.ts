/**
 * The vmdk driver, as the registry has it (specification: vmdk): images of VMware's programs, and those of virtual appliances.
 *
 * What works on images is loaded when there is one: live/open.ts opens them, create/create.ts makes them, check.ts checks them.
 */
import type { DriverDefinition } from '../../block/driver.ts';
import { foreignFormat } from '../../block/foreign-formats.ts';
import { loadPart } from '../../platform/platform.ts';
import { struct } from '../../qapi/types.ts';
import { createJob, createOptions, formatName, parseCreateValues } from './create/create-options.ts';

export const vmdk: DriverDefinition = {
  name: formatName,
  kind: 'format',
  children: [{ name: 'file' }, { name: 'backing', optional: true, nullable: true }],
  options: struct('BlockdevOptionsGenericCOWFormat', {}),
  supportsBacking: true,
  // Pages, which have no driver for it, refuse it by the same signature.
  probe: (head) => (foreignFormat(head) === formatName ? 100 : 0),
  async open(context) {
    const { openImage } = await loadPart(context.platform, () => import('./on-demand.ts'));
    return openImage(context);
  },
  create: {
    options: createOptions,
    job: createJob,
    checkValues: (values) => void parseCreateValues(values),
    async createImage(file, values, place) {
      const { createImage } = await loadPart(place.graph.platform, () => import('./on-demand.ts'));
      await createImage(file, values, place);
    },
  },
  async check(driver, options) {
    const { checkImage } = await import('./on-demand.ts');
    return checkImage(driver, options);
  },
};
