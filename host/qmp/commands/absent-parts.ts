/**
 * The query commands about what no machine here has: a TPM, a balloon, PCI devices other than disks, migration, …
 *
 * Management and backup programs ask any machine for these, and go on when they hear that there is nothing. So each
 * answers as QEMU does for a machine without the part: an empty list, a state of `none`, or QEMU's words for its absence.
 * Lists that are always empty do not describe elements. Left out is what asks a processor, its memory or a network switch for
 * details (`query-cpu-model-expansion`, `query-sev…`, `query-rocker…`, `query-stats`, `x-query-…`): there is no such command.
 */
import { BlockError } from '../../base/errors.ts';
import { machineTypes } from '../../machine/machine-types.ts';
import {
  any,
  array,
  bool,
  empty,
  enumeration,
  int,
  int64,
  optional,
  size,
  str,
  struct,
  type Type,
} from '../../qapi/types.ts';
import type { AnyCommand } from '../command.ts';
import { defineMachineCommand } from '../machine-command.ts';

/** What a command returns: its type, and the value that it always has. */
interface Fixed {
  readonly returns: Type;
  readonly value: unknown;
}

const nothing: Fixed = { returns: array(any), value: [] };

/** Every member always has the value given with its type. */
function fixed(name: string, members: Readonly<Record<string, readonly [Type, unknown]>>): Fixed {
  const entries = Object.entries(members);
  return {
    returns: struct(name, Object.fromEntries(entries.map(([member, [type]]) => [member, type]))),
    value: Object.fromEntries(entries.map(([member, [, value]]) => [member, value])),
  };
}

const coloMode = enumeration('COLOMode', ['none', 'primary', 'secondary']);

const answers: Readonly<Record<string, Fixed>> = {
  'query-audiodevs': nothing,
  'query-cpu-definitions': nothing,
  'query-cpus-fast': nothing,
  'query-cryptodev': nothing,
  'query-fdsets': nothing,
  'query-memdev': nothing,
  'query-memory-devices': nothing,
  'query-mice': nothing,
  'query-migrate-capabilities': nothing,
  'query-migrationthreads': nothing,
  'query-pci': nothing,
  'query-pr-managers': nothing,
  'query-rx-filter': nothing,
  'query-stats-schemas': nothing,
  'query-tpm': nothing,
  'query-tpm-models': nothing,
  'query-tpm-types': nothing,
  'query-vcpu-dirty-limit': nothing,
  'query-vnc-servers': nothing,
  'query-yank': nothing,
  'query-migrate': fixed('MigrationInfo', {}),
  'query-migrate-parameters': fixed('MigrationParameters', {}),
  'query-colo-status': fixed('COLOStatus', {
    mode: [coloMode, 'none'],
    'last-mode': [coloMode, 'none'],
    reason: [enumeration('COLOExitReason', ['none', 'request', 'error', 'processing']), 'none'],
  }),
  'query-current-machine': fixed('CurrentMachineParams', { 'wakeup-suspend-support': [bool, false] }),
  'query-dirty-rate': fixed('DirtyRateInfo', {
    status: [enumeration('DirtyRateStatus', ['unstarted', 'measuring', 'measured']), 'unstarted'],
    'start-time': [int64, 0],
    'calc-time': [int64, 0],
    'calc-time-unit': [enumeration('TimeUnit', ['second', 'millisecond']), 'second'],
    'sample-pages': [size, 0],
    mode: [
      enumeration('DirtyRateMeasureMode', ['page-sampling', 'dirty-ring', 'dirty-bitmap']),
      'page-sampling',
    ],
  }),
  'query-display-options': fixed('DisplayOptions', { type: [enumeration('DisplayType', ['none']), 'none'] }),
  'query-dump': fixed('DumpQueryResult', {
    status: [enumeration('DumpStatus', ['none', 'active', 'completed', 'failed']), 'none'],
    completed: [int, 0],
    total: [int, 0],
  }),
  'query-dump-guest-memory-capability': fixed('DumpGuestMemoryCapability', { formats: [array(any), []] }),
  'query-kvm': fixed('KvmInfo', { enabled: [bool, false], present: [bool, false] }),
  'query-memory-size-summary': fixed('MemoryInfo', {
    'base-memory': [size, 0],
    'plugged-memory': [size, 0],
  }),
  'query-replay': fixed('ReplayInfo', {
    mode: [enumeration('ReplayMode', ['none', 'record', 'play']), 'none'],
    icount: [int, 0],
  }),
  'query-spice': fixed('SpiceInfo', {
    enabled: [bool, false],
    migrated: [bool, false],
    'mouse-mode': [enumeration('SpiceQueryMouseMode', ['client', 'server', 'unknown']), 'client'],
  }),
  'query-target': fixed('TargetInfo', { arch: [enumeration('SysEmuTarget', ['x86_64']), 'x86_64'] }),
  'query-vnc': fixed('VncInfo', { enabled: [bool, false] }),
  'query-xen-replication-status': fixed('ReplicationStatus', { error: [bool, false] }),
};

/** What is missing has words of its own. */
const refusals: Readonly<Record<string, string>> = {
  'query-acpi-ospm-status': 'command is not supported, missing ACPI device',
  'query-hotpluggable-cpus': 'machine does not support hot-plugging CPUs',
  'query-hv-balloon-status-report': 'no hv-balloon device present',
  'query-vm-generation-id': 'VM Generation ID device not found',
};

const queryBalloon = defineMachineCommand({
  name: 'query-balloon',
  args: empty,
  run: () => {
    throw new BlockError('ENODEV', 'No balloon device has been activated', { class: 'DeviceNotActive' });
  },
});

/** The machines that `-machine` takes. None has a processor: it is the emulator's. */
const queryMachines = defineMachineCommand({
  name: 'query-machines',
  args: empty,
  returns: array(
    struct('MachineInfo', {
      name: str,
      alias: optional(str),
      'cpu-max': int,
      'hotpluggable-cpus': bool,
      'numa-mem-supported': bool,
      deprecated: bool,
      acpi: bool,
    }),
  ),
  run: () =>
    machineTypes.map(({ name, aliases: [alias] }) => ({
      name,
      ...(alias === undefined ? {} : { alias }),
      'cpu-max': 1,
      'hotpluggable-cpus': false,
      'numa-mem-supported': false,
      deprecated: false,
      acpi: false,
    })),
});

export const absentParts: readonly AnyCommand[] = [
  ...Object.entries(answers).map(([name, { returns, value }]) =>
    defineMachineCommand({ name, args: empty, returns, run: () => value }),
  ),
  ...Object.entries(refusals).map(([name, message]) =>
    defineMachineCommand({
      name,
      args: empty,
      run: () => {
        throw new BlockError('ENODEV', message);
      },
    }),
  ),
  queryBalloon,
  queryMachines,
];
