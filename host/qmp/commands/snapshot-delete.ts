/** snapshot-delete: forgets a machine that its disks have kept, in the background. */
import { startSnapshotJob } from '../../machine/snapshot-job.ts';
import { array, str, struct } from '../../qapi/types.ts';
import { defineMachineCommand } from '../machine-command.ts';

export const snapshotDelete = defineMachineCommand({
  name: 'snapshot-delete',
  args: struct('SnapshotDeleteArguments', { 'job-id': str, tag: str, devices: array(str) }),
  async run(machine, { 'job-id': id, tag, devices }) {
    await startSnapshotJob(machine, { id, type: 'snapshot-delete' }, (machines) =>
      machines.delete(tag, devices),
    );
    return {};
  },
});
