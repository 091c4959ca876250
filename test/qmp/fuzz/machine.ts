/**
 * The machine's commands, on a machine with disks and CD drives of three kinds, made by `-drive` and of nodes, whose
 * guest reads, writes, discards and flushes while commands come.
 */
import { BlockError } from '../../../host/base/errors.ts';
import { BlockDevice } from '../../../host/machine/block-device.ts';
import type { BlockFront } from '../../../host/machine/block-front.ts';
import { addBuiltInDevices } from '../../../host/machine/default-devices.ts';
import { deviceTypes } from '../../../host/machine/device-types.ts';
import { parseDrive } from '../../../host/machine/drive-options.ts';
import { findMachineType } from '../../../host/machine/machine-types.ts';
import { systemCommands } from '../../../host/qmp/commands/system.ts';
import { QmpServer } from '../../../host/qmp/server.ts';
import { plug } from '../../support/machine.ts';
import type { Seeded } from '../../support/seeded.ts';
import { type Fuzzed, fuzzedDrivers, imageBytes } from './fuzzer.ts';

const nodes = [
  { driver: 'null-co', 'node-name': 'n0', size: imageBytes, 'read-zeroes': true },
  { driver: 'memory', 'node-name': 'n1', size: imageBytes },
] as const;
const startingDrives = [
  'id=d0,if=none,file=b.qcow2,format=qcow2,werror=stop',
  'id=d1,if=none,file=c.raw,format=raw,media=cdrom',
  'id=d2,if=none',
  'id=d3,if=none,driver=null-co,read-zeroes=on,iops=100',
];
const startingDevices = [
  'virtio-scsi-pci,id=s0',
  'virtio-blk-pci,id=v0,drive=d0,share-rw=on',
  'scsi-hd,id=h0,drive=n1,bus=s0.0,share-rw=on',
  'scsi-cd,id=c0,drive=d2,bus=s0.0',
  'ide-cd,id=i0,drive=d1',
];
const sector = 512;
const maxRequestBytes = 64 << 10;
const maxRequestsBetween = 3;

/** Arguments that often make sense together. */
const plugged = [
  { driver: 'virtio-blk-pci' },
  { driver: 'scsi-hd', bus: 's0.0' },
  { driver: 'scsi-cd', bus: 's0.0' },
  { driver: 'scsi-hd' },
  { driver: 'ide-hd' },
  { driver: 'virtio-scsi-pci' },
  { driver: 'floppy' },
  { driver: 'nvme' },
] as const;
const deviceIds = ['v0', 'v1', 'v2', 'h1', 's1', 'c1'];
const someProperties: Readonly<Record<string, readonly unknown[]>> = {
  'share-rw': [true, 'on', 'zz'],
  serial: ['x', ''],
  bootindex: [0, 1, 'y'],
  'write-cache': ['on', 'off'],
  werror: ['stop', 'ignore', 'report', 'enospc'],
  rerror: ['stop', 'ignore', 'enospc'],
  logical_block_size: [512, 4096, 3],
  removable: [true],
  lun: [0, 1, 99_999],
  addr: ['5', 'zz'],
  nosuch: [1],
};

function deviceArguments({ graph }: QmpServer, random: Seeded): object {
  const drives = [
    ...graph.backends.list().flatMap(({ name }) => (name === '' ? [] : name)),
    ...graph.nodes().map(({ name }) => name),
    'missing',
  ];
  const properties = Object.entries(someProperties)
    .filter(() => random.oneIn(12))
    .map(([name, values]) => [name, random.pick(values)]);
  return {
    ...random.pick(plugged),
    ...(random.oneIn(10) ? {} : { drive: random.pick(drives) }),
    ...(random.oneIn(10) ? {} : { id: random.pick(deviceIds) }),
    ...Object.fromEntries(properties),
  };
}

/** Errors are what a guest has to live with; anything else is a bug. */
async function request(front: BlockFront, random: Seeded): Promise<void> {
  const { backend } = front;
  if (!backend.hasMedium) return;
  const sectors = Math.max(1, Math.floor(backend.length / sector));
  const offset = random.below(sectors) * sector;
  const bytes = Math.min(maxRequestBytes, sectors * sector - offset, sector << random.below(8));
  const kind = random.pick(['read', 'read', 'write', 'write', 'zero', 'discard', 'flush']);
  // As virtio does: writes to a disk that cannot be written go no further than the device.
  const mayWrite = !backend.node.readOnly;
  try {
    if (kind === 'flush') await front.flush();
    else if (kind === 'read' || !mayWrite) await front.read(offset, new Uint8Array(bytes));
    else if (kind === 'write') await front.write(offset, new Uint8Array(bytes).fill(random.below(256)));
    else if (kind === 'zero') await front.writeZeroes(offset, bytes, { mayUnmap: random.oneIn(2) });
    else await front.discard(offset, bytes);
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
  }
}

export function fuzzedMachine(): Fuzzed {
  const requests: Promise<void>[] = [];
  return {
    createServer: (platform) =>
      new QmpServer({
        platform,
        drivers: fuzzedDrivers,
        commands: systemCommands,
        machine: {
          type: findMachineType('pc'),
          name: undefined,
          uuid: '00000000-0000-0000-0000-000000000000',
          deviceTypes,
          temporaryDirectory: '/tmp',
          hasDefaults: false,
          endsOnReset: false,
        },
      }),

    async setUp({ machine }, send) {
      for (const node of nodes) await send(JSON.stringify({ execute: 'blockdev-add', arguments: node }));
      for (const text of startingDrives) {
        await machine!.addDrive(
          parseDrive(text, machine!.options.type.drives, () => {}),
          '',
        );
      }
      await addBuiltInDevices(machine!);
      for (const text of startingDevices) await plug(machine!, text);
      machine!.isSetUp = true;
      await machine!.cont();
    },

    between({ machine }, random) {
      const disks = machine!.devices.filter((device) => device instanceof BlockDevice);
      if (disks.length === 0) return;
      for (let left = random.below(maxRequestsBetween + 1); left > 0; left--) {
        const running = request(random.pick(disks).front, random);
        // Looked at in the end.
        running.catch(() => {});
        requests.push(running);
      }
    },

    async finish() {
      await Promise.all(requests);
    },

    makeArguments: (command, server, random) =>
      command === 'device_add' && !random.oneIn(10) ? deviceArguments(server, random) : undefined,
  };
}
