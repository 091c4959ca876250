/**
 * x-query-cbw: how saving goes for every point in time that is kept, by a backup or by a copy-before-write node of its own.
 * Ours.
 */
import { CopyBeforeWrite } from '../../filters/copy-before-write/driver.ts';
import { Job } from '../../jobs/job.ts';
import { array, empty, extend, optional, str, struct } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';
import { savingInfo, savingType } from '../saving-info.ts';

export const xQueryCbw = defineCommand({
  name: 'x-query-cbw',
  args: empty,
  returns: array(
    extend(
      'CbwInfo',
      struct('CbwInfoBase', {
        'node-name': str,
        /** Of the backup that it belongs to. */
        job: optional(str),
      }),
      savingType,
    ),
  ),
  run({ graph }) {
    return graph.nodes().flatMap(({ name, driver, parents }) => {
      if (!(driver instanceof CopyBeforeWrite)) return [];
      const job = [...parents].map((edge) => edge.parent.job).find((user) => user instanceof Job);
      return { 'node-name': name, ...(job && { job: job.id }), ...savingInfo(driver.saving) };
    });
  },
});
