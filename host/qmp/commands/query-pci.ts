/**
 * query-pci: what is on the PCI bus, as the firmware finds it. Programs that plug devices look here whether one has come or gone.
 *
 * Nothing has given the registers addresses or interrupts, because no firmware has run; QEMU says the same before the guest starts.
 * The chips of a PC are listed as they are there. Not here: the graphics and network cards that QEMU adds on its own, which no
 * machine here has.
 */
import { withoutUndefined } from '../../base/without-undefined.ts';
import type { Device } from '../../machine/device.ts';
import {
  array,
  bool,
  empty,
  enumeration,
  int,
  optional,
  str,
  struct,
  type TypeOf,
} from '../../qapi/types.ts';
import { defineMachineCommand } from '../machine-command.ts';

const regionInfo = struct('PciMemoryRegion', {
  bar: int,
  type: enumeration('PciMemoryRegionType', ['io', 'memory']),
  address: int,
  size: int,
  prefetch: optional(bool),
  mem_type_64: optional(bool),
});

const deviceInfo = struct('PciDeviceInfo', {
  bus: int,
  slot: int,
  function: int,
  class_info: struct('PciDeviceClass', { desc: optional(str), class: int }),
  id: struct('PciDeviceId', {
    device: int,
    vendor: int,
    subsystem: optional(int),
    'subsystem-vendor': optional(int),
  }),
  irq: optional(int),
  irq_pin: int,
  qdev_id: str,
  regions: array(regionInfo),
});

type Region = TypeOf<typeof regionInfo>;

/** What a device says of itself in its configuration space. */
interface Chip {
  readonly class: number;
  readonly description: string;
  readonly vendor: number;
  readonly device: number;
  readonly subsystem: number;
  readonly regions: readonly Region[];
  readonly hasInterrupt: boolean;
}

const redHat = 0x1af4;
const intel = 0x8086;
/** What a register holds that nobody has set. */
const unset = -1;

const ports = (bar: number, size: number): Region => ({ bar, type: 'io', address: unset, size });
const memory = (bar: number, size: number, isWide = false): Region => ({
  bar,
  type: 'memory',
  address: unset,
  size,
  prefetch: isWide,
  mem_type_64: isWide,
});

function virtio(device: number, subsystem: number, portCount: number): Chip {
  return {
    ...{ class: 0x100, description: 'SCSI controller', vendor: redHat, device, subsystem },
    regions: [ports(0, portCount), memory(1, 0x1000), memory(4, 0x4000, true)],
    hasInterrupt: true,
  };
}

function ofPc(
  device: number,
  [pciClass, description]: readonly [number, string],
  regions: readonly Region[] = [],
  hasInterrupt = false,
): Chip {
  return { class: pciClass, description, vendor: intel, device, subsystem: 0x1100, regions, hasInterrupt };
}

const plugged: Readonly<Record<string, Chip>> = {
  'virtio-blk-pci': virtio(0x1001, 2, 0x80),
  'virtio-scsi-pci': virtio(0x1004, 8, 0x40),
};

const hostBridge = [0x600, 'Host bridge'] as const;
const isaBridge = [0x601, 'ISA bridge'] as const;

/** By machine type: slot, function and chip of each. */
const builtIn: Readonly<Record<string, readonly (readonly [number, number, Chip])[]>> = {
  pc: [
    [0, 0, ofPc(0x1237, hostBridge)],
    [1, 0, ofPc(0x7000, isaBridge)],
    [1, 1, ofPc(0x7010, [0x101, 'IDE controller'], [ports(4, 0x10)])],
    [1, 3, ofPc(0x7113, [0x680, 'Bridge'], [], true)],
  ],
  q35: [
    [0, 0, ofPc(0x29c0, hostBridge)],
    [31, 0, ofPc(0x2918, isaBridge)],
    [31, 2, ofPc(0x2922, [0x106, 'SATA controller'], [ports(4, 0x20), memory(5, 0x1000)], true)],
    [31, 3, ofPc(0x2930, [0xc05, 'SMBus'], [ports(4, 0x40)], true)],
  ],
};

function describe(slot: number, unit: number, chip: Chip, id = ''): TypeOf<typeof deviceInfo> {
  return {
    bus: 0,
    slot,
    function: unit,
    class_info: { class: chip.class, desc: chip.description },
    id: {
      device: chip.device,
      vendor: chip.vendor,
      subsystem: chip.subsystem,
      'subsystem-vendor': redHat,
    },
    ...withoutUndefined({ irq: chip.hasInterrupt ? 0 : undefined }),
    irq_pin: chip.hasInterrupt ? 1 : 0,
    qdev_id: id,
    regions: [...chip.regions],
  };
}

const functions = 8;

function ofDevice(device: Device): TypeOf<typeof deviceInfo>[] {
  const chip = plugged[device.typeName];
  if (!chip) return [];
  const address = Number(device.properties.find(({ name }) => name === 'addr')?.get?.());
  return [describe(Math.floor(address / functions), address % functions, chip, device.id)];
}

export const queryPci = defineMachineCommand({
  name: 'query-pci',
  args: empty,
  returns: array(struct('PciInfo', { bus: int, devices: array(deviceInfo) })),
  run({ options: { type }, devices }) {
    const chips = type.aliases.flatMap((name) => builtIn[name] ?? []);
    if (chips.length === 0) return [];
    const found = [
      ...chips.map(([slot, unit, chip]) => describe(slot, unit, chip)),
      ...devices.flatMap(ofDevice),
    ];
    const place = (info: { slot: number; function: number }): number => info.slot * functions + info.function;
    return [{ bus: 0, devices: found.sort((a, b) => place(a) - place(b)) }];
  },
});
