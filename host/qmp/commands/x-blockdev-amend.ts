/** x-blockdev-amend: changes an image in the background (specification: jobs, section 11). */
import { BlockError, invalid } from '../../base/errors.ts';
import type { DriverDefinition } from '../../block/driver.ts';
import { startAmend } from '../../jobs/amend.ts';
import { blockdevDriver } from '../../qapi/block-types.ts';
import { bool, optional, type StructType, str, struct, type UnionType } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';

export const blockdevAmend = defineCommand({
  name: 'x-blockdev-amend',
  args: ({ definitions }) =>
    struct('BlockdevAmendArguments', {
      'job-id': str,
      'node-name': str,
      options: amendOptions(definitions),
      // It overrides refusals to erase keys.
      force: optional(bool),
    }),
  async run({ graph, jobs }, { 'job-id': id, 'node-name': name, options, force = false }) {
    const node = graph.lookup(undefined, name);
    const { amend } = node.definition;
    if (options.driver !== node.definition.name) {
      throw invalid("x-blockdev-amend doesn't support changing the block driver");
    }
    if (!amend) throw new BlockError('ENOTSUP', 'Driver does not support x-blockdev-amend');
    await startAmend(jobs, { id, node, definition: amend, options, force });
    return {};
  },
});

function amendOptions(drivers: readonly DriverDefinition[]): UnionType<{ driver: string }> {
  const branches: Record<string, StructType> = {
    luks: { kind: 'struct', name: 'unserved luks', members: [], isOpen: true },
  };
  for (const { name, amend } of drivers) if (amend) branches[name] = amend.options;
  return {
    kind: 'union',
    name: 'BlockdevAmendOptions',
    base: struct('BlockdevAmendOptionsBase', { driver: blockdevDriver }),
    discriminator: 'driver',
    branches: () => branches,
  };
}
