/**
 * What a machine says about moving to another host: that it could be told to in many ways, and that nobody has. Programs look
 * here for what they may set; nothing here moves a machine, and there is no command that sets any of it.
 */
import { array, bool, empty, enumeration, int, str, struct, type Type } from '../../qapi/types.ts';
import type { AnyCommand } from '../command.ts';
import { defineMachineCommand } from '../machine-command.ts';

const capabilities = [
  'xbzrle',
  'rdma-pin-all',
  'auto-converge',
  'zero-blocks',
  'events',
  'postcopy-ram',
  'x-colo',
  'release-ram',
  'return-path',
  'pause-before-switchover',
  'multifd',
  'dirty-bitmaps',
  'postcopy-blocktime',
  'late-block-activate',
  'x-ignore-shared',
  'validate-uuid',
  'background-snapshot',
  'zero-copy-send',
  'postcopy-preempt',
  'switchover-ack',
  'dirty-limit',
  'mapped-ram',
];

const migMode = enumeration('MigMode', ['normal', 'cpr-reboot', 'cpr-transfer']);
const zeroPages = enumeration('ZeroPageDetection', ['none', 'legacy', 'multifd']);
const compression = enumeration('MultiFDCompression', ['none', 'zlib', 'zstd', 'qatzip', 'qpl', 'uadk']);

/** With their defaults. */
const parameters: Readonly<Record<string, readonly [Type, string | number | boolean]>> = {
  'cpu-throttle-tailslow': [bool, false],
  'xbzrle-cache-size': [int, 67108864],
  'cpu-throttle-initial': [int, 20],
  'announce-max': [int, 550],
  'direct-io': [bool, false],
  'avail-switchover-bandwidth': [int, 0],
  'zero-page-detection': [zeroPages, 'multifd'],
  'multifd-qatzip-level': [int, 1],
  'multifd-channels': [int, 2],
  mode: [migMode, 'normal'],
  'multifd-zstd-level': [int, 1],
  'announce-initial': [int, 50],
  'downtime-limit': [int, 300],
  'tls-authz': [str, ''],
  'vcpu-dirty-limit': [int, 1],
  'multifd-compression': [compression, 'none'],
  'announce-rounds': [int, 5],
  'announce-step': [int, 100],
  'tls-creds': [str, ''],
  'x-vcpu-dirty-limit-period': [int, 1000],
  'multifd-zlib-level': [int, 1],
  'max-cpu-throttle': [int, 99],
  'max-postcopy-bandwidth': [int, 0],
  'tls-hostname': [str, ''],
  'throttle-trigger-threshold': [int, 50],
  'max-bandwidth': [int, 134217728],
  'x-checkpoint-delay': [int, 20000],
  'cpu-throttle-increment': [int, 10],
};

const entries = Object.entries(parameters);

export const migrationQueries: readonly AnyCommand[] = [
  defineMachineCommand({
    name: 'query-migrate',
    args: empty,
    returns: struct('MigrationInfo', {}),
    run: () => ({}),
  }),
  defineMachineCommand({
    name: 'query-migrate-capabilities',
    args: empty,
    returns: array(
      struct('MigrationCapabilityStatus', {
        capability: enumeration('MigrationCapability', capabilities),
        state: bool,
      }),
    ),
    run: () => capabilities.map((capability) => ({ state: false, capability })),
  }),
  defineMachineCommand({
    name: 'query-migrate-parameters',
    args: empty,
    returns: struct('MigrationParameters', Object.fromEntries(entries.map(([name, [type]]) => [name, type]))),
    run: () => Object.fromEntries(entries.map(([name, [, value]]) => [name, value])),
  }),
];
