/** blockdev-create: makes an image, or the file for one, in the background (specification: jobs, section 11). */
import { BlockError } from '../../base/errors.ts';
import type { DriverDefinition } from '../../block/driver.ts';
import { startCreate } from '../../jobs/create.ts';
import { blockdevDriver } from '../../qapi/block-types.ts';
import { enumeration, type StructType, str, struct, type UnionType } from '../../qapi/types.ts';
import { branch, childMembers } from '../blockdev-options.ts';
import { defineCommand } from '../command.ts';

/** Drivers of which QEMU makes images, and which are not served here: their options are not looked at. */
const unserved = [...['gluster', 'nfs', 'parallels', 'qcow', 'qed', 'rbd', 'ssh', 'vhdx']];

export const blockdevCreate = defineCommand({
  name: 'blockdev-create',
  args: ({ definitions }) =>
    struct('BlockdevCreateArguments', { 'job-id': str, options: createOptions(definitions) }),
  async run({ graph, jobs }, { 'job-id': id, options }) {
    const driver = graph.drivers.find(options.driver);
    if (!driver?.create?.job) throw new BlockError('ENOTSUP', 'Driver does not support blockdev-create');
    await startCreate(graph, jobs, { id, driver, options });
    return {};
  },
});

function createOptions(drivers: readonly DriverDefinition[]): UnionType<{ driver: string }> {
  const child = childMembers(drivers);
  const branches: Record<string, StructType> = Object.fromEntries(
    unserved.map((name) => [name, { kind: 'struct', name: `unserved ${name}`, members: [], isOpen: true }]),
  );
  for (const { name, create } of drivers) {
    if (create?.job) branches[name] = branch(create.job, child);
  }
  // QEMU's, whether they make anything or not, and those that QEMU does not have.
  const names = new Set<string>([...blockdevDriver.values, ...Object.keys(branches)]);
  return {
    kind: 'union',
    name: 'BlockdevCreateOptions',
    base: struct('BlockdevCreateOptionsBase', { driver: enumeration('BlockdevDriver', [...names]) }),
    discriminator: 'driver',
    branches: () => branches,
  };
}
