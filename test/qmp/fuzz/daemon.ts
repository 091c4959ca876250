/** The storage daemon's commands, on three nodes. */
import { commands } from '../../../host/qmp/commands/index.ts';
import { QmpServer } from '../../../host/qmp/server.ts';
import { type Fuzzed, fuzzedDrivers, imageBytes } from './fuzzer.ts';

const start = [
  { driver: 'null-co', 'node-name': 'n0', size: imageBytes, 'read-zeroes': true },
  { driver: 'memory', 'node-name': 'n1', size: imageBytes },
  { driver: 'qcow2', 'node-name': 'n2', file: { driver: 'file', filename: 'b.qcow2' } },
] as const;

export function fuzzedDaemon(): Fuzzed {
  return {
    createServer: (platform) => new QmpServer({ platform, drivers: fuzzedDrivers, commands }),
    async setUp(_server, send) {
      for (const node of start) await send(JSON.stringify({ execute: 'blockdev-add', arguments: node }));
    },
  };
}
