/** snapshot-save: keeps the machine in its disks, in the background. */
import { startSnapshotJob } from '../../machine/snapshot-job.ts';
import { array, str, struct } from '../../qapi/types.ts';
import { defineMachineCommand } from '../machine-command.ts';

export const snapshotSave = defineMachineCommand({
  name: 'snapshot-save',
  args: struct('SnapshotSaveArguments', { 'job-id': str, tag: str, vmstate: str, devices: array(str) }),
  async run(machine, { 'job-id': id, tag, ...choice }) {
    await startSnapshotJob(machine, { id, type: 'snapshot-save' }, (machines) => machines.save(tag, choice));
    return {};
  },
});
