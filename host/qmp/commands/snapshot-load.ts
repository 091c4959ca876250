/** snapshot-load: goes back to a machine that its disks have kept, in the background. */
import { startSnapshotJob } from '../../machine/snapshot-job.ts';
import { array, str, struct } from '../../qapi/types.ts';
import { defineMachineCommand } from '../machine-command.ts';

export const snapshotLoad = defineMachineCommand({
  name: 'snapshot-load',
  args: struct('SnapshotLoadArguments', { 'job-id': str, tag: str, vmstate: str, devices: array(str) }),
  async run(machine, { 'job-id': id, tag, ...choice }) {
    await startSnapshotJob(machine, { id, type: 'snapshot-load' }, (machines) => machines.load(tag, choice));
    return {};
  },
});
