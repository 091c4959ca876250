/**
 * What programs ask about machines and their processors: which there are, how much memory this one has, and what a PC always has.
 *
 * A machine here has the processor that an emulator brings, or none: `query-cpus-fast` lists none, and none can be plugged. Models
 * have no unavailable features, because nothing here lacks one.
 */

import { BlockError } from '../../base/errors.ts';
import { withoutUndefined } from '../../base/without-undefined.ts';
import type { Machine } from '../../machine/machine.ts';
import { machineTypes } from '../../machine/machine-types.ts';
import { processorModels } from '../../machine/processor-models.ts';
import { array, bool, empty, enumeration, int, optional, size, str, struct } from '../../qapi/types.ts';
import type { AnyCommand } from '../command.ts';
import { defineMachineCommand } from '../machine-command.ts';

const typeOf = (model: string): string => `${model}-x86_64-cpu`;

const cpuDefinitionInfo = struct('CpuDefinitionInfo', {
  name: str,
  typename: str,
  'unavailable-features': array(str),
  'alias-of': optional(str),
  static: bool,
  'migration-safe': optional(bool),
  deprecated: bool,
});

const queryCpuDefinitions = defineMachineCommand({
  name: 'query-cpu-definitions',
  args: empty,
  returns: array(cpuDefinitionInfo),
  run: () =>
    processorModels.map(({ name, aliasOf, isStatic, isMigrationSafe }) => ({
      name,
      typename: typeOf(name),
      'unavailable-features': [],
      ...withoutUndefined({ 'alias-of': aliasOf }),
      static: isStatic,
      'migration-safe': isMigrationSafe,
      deprecated: false,
    })),
});

const machineInfo = struct('MachineInfo', {
  name: str,
  alias: optional(str),
  'is-default': optional(bool),
  'cpu-max': int,
  'hotpluggable-cpus': bool,
  'numa-mem-supported': bool,
  deprecated: bool,
  'default-cpu-type': optional(str),
  'default-ram-id': optional(str),
  acpi: bool,
});

/** The machines that `-machine` takes. */
const queryMachines = defineMachineCommand({
  name: 'query-machines',
  args: empty,
  returns: array(machineInfo),
  run: () =>
    machineTypes.map((type) => ({
      'hotpluggable-cpus': false,
      name: type.name,
      'numa-mem-supported': false,
      ...withoutUndefined({
        'default-cpu-type': type.defaultProcessor && typeOf(type.defaultProcessor),
        'is-default': type.isDefault,
      }),
      acpi: type.hasAcpi,
      'cpu-max': type.maxProcessors,
      deprecated: false,
      'default-ram-id': type.memoryId,
      ...withoutUndefined({ alias: type.aliases[0] }),
    })),
});

const memoryOf = ({ options: { memoryBytes, type } }: Machine): number => memoryBytes ?? type.defaultMemory;

const queryMemorySizeSummary = defineMachineCommand({
  name: 'query-memory-size-summary',
  args: empty,
  returns: struct('MemoryInfo', { 'base-memory': size, 'plugged-memory': size }),
  run: (machine) => ({ 'base-memory': memoryOf(machine), 'plugged-memory': 0 }),
});

const memdev = struct('Memdev', {
  id: optional(str),
  size,
  merge: bool,
  dump: bool,
  prealloc: bool,
  share: bool,
  reserve: optional(bool),
  'host-nodes': array(int),
  policy: enumeration('HostMemPolicy', ['default', 'preferred', 'bind', 'interleave']),
});

const queryMemdev = defineMachineCommand({
  name: 'query-memdev',
  args: empty,
  returns: array(memdev),
  run: (machine) =>
    memoryOf(machine) === 0
      ? []
      : [
          {
            share: false,
            reserve: true,
            prealloc: false,
            'host-nodes': [],
            size: memoryOf(machine),
            merge: true,
            dump: true,
            policy: 'default',
            id: machine.options.type.memoryId,
          },
        ],
});

/** Slots of memory and processors that a guest has been told of. */
const queryAcpiOspmStatus = defineMachineCommand({
  name: 'query-acpi-ospm-status',
  args: empty,
  returns: array(struct('ACPIOSTInfo', { slot: str, 'slot-type': str, source: int, status: int })),
  run({ hasAcpi }) {
    if (!hasAcpi) throw new BlockError('ENODEV', 'command is not supported, missing ACPI device');
    return [];
  },
});

/** Only a machine with ACPI can be woken. */
const queryCurrentMachine = defineMachineCommand({
  name: 'query-current-machine',
  args: empty,
  returns: struct('CurrentMachineParams', { 'wakeup-suspend-support': bool }),
  run: ({ hasAcpi }) => ({ 'wakeup-suspend-support': hasAcpi }),
});

const mouseInfo = struct('MouseInfo', { name: str, index: int, current: bool, absolute: bool });

/** The one that every PC has at its keyboard controller. */
const queryMice = defineMachineCommand({
  name: 'query-mice',
  args: empty,
  returns: array(mouseInfo),
  run: ({ options: { type } }) =>
    type.hasAcpi ? [{ name: 'QEMU PS/2 Mouse', index: 2, current: true, absolute: false }] : [],
});

export const processorQueries: readonly AnyCommand[] = [
  queryCurrentMachine,
  queryMice,
  queryCpuDefinitions,
  queryMachines,
  queryMemorySizeSummary,
  queryMemdev,
  queryAcpiOspmStatus,
];
