/**
 * The query commands about what no machine here has: a TPM, a balloon, network cards, …
 *
 * Management and backup programs ask any machine for these, and go on when they hear that there is nothing. So each
 * answers as QEMU does for a machine without the part: an empty list, a state of `none`, or QEMU's words for its absence.
 * Lists that are always empty do not describe elements. What `query-tpm-models`, `query-dump-guest-memory-capability` and their like
 * list could be asked for by options and commands that there are not, so that they list nothing; `query-kvm` says that there is no
 * KVM. Left out is what asks a processor for details (`query-cpu-model-expansion`, `query-sgx`, `query-stats`, `x-query-…`): there is
 * no such command.
 */
import { BlockError, invalid } from '../../base/errors.ts';
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
  'query-cpus-fast': nothing,
  'query-cryptodev': nothing,
  'query-fdsets': nothing,
  'query-memory-devices': nothing,
  'query-migrationthreads': nothing,
  'query-pr-managers': nothing,
  'query-rx-filter': nothing,
  'query-stats-schemas': nothing,
  'query-tpm': nothing,
  'query-tpm-models': nothing,
  'query-tpm-types': nothing,
  'query-vcpu-dirty-limit': nothing,
  'query-vnc-servers': nothing,
  'query-yank': nothing,
  'query-colo-status': fixed('COLOStatus', {
    mode: [coloMode, 'none'],
    'last-mode': [coloMode, 'none'],
    reason: [enumeration('COLOExitReason', ['none', 'request', 'error', 'processing']), 'none'],
  }),
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
  'query-replay': fixed('ReplayInfo', {
    mode: [enumeration('ReplayMode', ['none', 'record', 'play']), 'none'],
    icount: [int, 0],
  }),
  'query-sev': fixed('SevInfo', {
    enabled: [bool, false],
    'api-major': [int, 0],
    'api-minor': [int, 0],
    'build-id': [int, 0],
    state: [enumeration('SevState', ['uninit']), 'uninit'],
    'sev-type': [enumeration('SevGuestType', ['sev', 'sev-snp']), 'sev'],
    policy: [int, 0],
    handle: [int, 0],
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
  'query-hotpluggable-cpus': 'machine does not support hot-plugging CPUs',
  'query-sev-capabilities': 'KVM not enabled',
  'query-sev-launch-measure': 'SEV launch measurement is not available',
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

/** A switch. There is none of the name. */
function rockerQuery(name: string, more: Parameters<typeof struct>[1] = {}): AnyCommand {
  return defineMachineCommand({
    name,
    args: struct(`${name}-arguments`, { name: str, ...more }),
    run: (_machine, { name: wanted }) => {
      throw invalid(`rocker ${wanted} not found`);
    },
  });
}

const querySevAttestationReport = defineMachineCommand({
  name: 'query-sev-attestation-report',
  args: struct('query-sev-attestation-report-arguments', { mnonce: str }),
  run: () => {
    throw invalid('SEV is not enabled');
  },
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
  querySevAttestationReport,
  rockerQuery('query-rocker'),
  rockerQuery('query-rocker-ports'),
  rockerQuery('query-rocker-of-dpa-flows', { 'tbl-id': optional(int) }),
  rockerQuery('query-rocker-of-dpa-groups', { type: optional(int) }),
];
