/** The machines there are, as far as storage sees them: their buses and what drives are on them by default. */
import type { BusSpec } from './bus.ts';
import type { DriveDefaults } from './drive-options.ts';

export interface MachineType {
  /** In full, as `-machine help` lists it. */
  readonly name: string;
  readonly aliases: readonly string[];
  readonly description: string;
  /** What there is when nobody names a machine. */
  readonly isDefault?: true;
  readonly maxProcessors: number;
  /** The model of its processors unless `-cpu` says otherwise. Absent: it has none. */
  readonly defaultProcessor?: string;
  readonly hasAcpi: boolean;
  /** Of its memory, as an object. */
  readonly memoryId: string;
  /** Bytes of memory unless `-m` says otherwise. */
  readonly defaultMemory: number;
  readonly buses: readonly BusSpec[];
  /** What is on the PCI bus already, by slot, and where others go. */
  readonly pci: {
    readonly builtIn: readonly (readonly [number, string])[];
    readonly firstSlot: { readonly bare: number; readonly withDefaults: number };
  };
  readonly drives: DriveDefaults;
  /** Whether it comes with a floppy controller: always, or with drives for one. */
  readonly floppyController: 'always' | 'when used' | 'never';
  /** IDE buses that `-drive if=ide` may use. */
  readonly ideBuses: number;
  /** Index of the CD drive that is there unless `-nodefaults`. */
  readonly defaultCdIndex: number | undefined;
  /** Numbers of the first device for an IDE drive and, with no such device, a floppy in `/machine/unattached`. */
  readonly firstDevice: { ide: number; floppy: number };
  /** What the devices that come by default add to these. */
  readonly defaultDevices: { ide: number; floppy: number };
}

const mebibyte = 1 << 20;

/** `controller`: what has them, in `/machine/unattached`. */
function ideBuses(controller: string, count: number, units: number): BusSpec[] {
  return Array.from({ length: count }, (_, i) => ({
    name: `ide.${i}`,
    kind: 'IDE',
    canHotplug: false,
    path: `/machine/unattached/${controller}/ide.${i}`,
    capacity: 2,
    units,
  }));
}

function isaBus(bridge: number): BusSpec {
  return {
    name: 'isa.0',
    kind: 'ISA',
    canHotplug: false,
    path: `/machine/unattached/device[${bridge}]/isa.0`,
  };
}

export const machineTypes: readonly MachineType[] = [
  {
    name: 'none',
    aliases: [],
    description: 'empty machine',
    maxProcessors: 1,
    hasAcpi: false,
    memoryId: 'ram',
    defaultMemory: 0,
    buses: [],
    pci: { builtIn: [], firstSlot: { bare: 0, withDefaults: 0 } },
    drives: { interface: 'none', idePerBus: 2 },
    floppyController: 'never',
    ideBuses: 0,
    defaultCdIndex: undefined,
    firstDevice: { ide: 0, floppy: 0 },
    defaultDevices: { ide: 0, floppy: 0 },
  },
  {
    name: 'pc-i440fx-10.0',
    aliases: ['pc'],
    description: 'Standard PC (i440FX + PIIX, 1996)',
    isDefault: true,
    maxProcessors: 255,
    defaultProcessor: 'qemu64',
    hasAcpi: true,
    memoryId: 'pc.ram',
    defaultMemory: 128 * mebibyte,
    buses: [
      { name: 'pci.0', kind: 'PCI', canHotplug: true, path: '/machine/i440fx/pci.0', capacity: 256 },
      isaBus(3),
      ...ideBuses('device[3]/ide', 2, 2),
    ],
    pci: {
      builtIn: [
        [0, 'i440FX'],
        [1, 'PIIX3'],
      ],
      firstSlot: { bare: 2, withDefaults: 4 },
    },
    drives: { interface: 'ide', idePerBus: 2 },
    floppyController: 'always',
    ideBuses: 2,
    defaultCdIndex: 2,
    firstDevice: { ide: 4, floppy: 10 },
    defaultDevices: { ide: 0, floppy: 3 },
  },
  {
    name: 'pc-q35-10.0',
    aliases: ['q35'],
    description: 'Standard PC (Q35 + ICH9, 2009)',
    maxProcessors: 4096,
    defaultProcessor: 'qemu64',
    hasAcpi: true,
    memoryId: 'pc.ram',
    defaultMemory: 128 * mebibyte,
    buses: [
      { name: 'pcie.0', kind: 'PCI', canHotplug: false, path: '/machine/q35/pcie.0', capacity: 256 },
      isaBus(2),
      ...ideBuses('device[12]', 6, 1),
    ],
    pci: {
      builtIn: [
        [0, 'mch'],
        [31, 'ICH9-LPC'],
      ],
      firstSlot: { bare: 1, withDefaults: 3 },
    },
    drives: { interface: 'ide', idePerBus: 1 },
    floppyController: 'when used',
    ideBuses: 6,
    defaultCdIndex: 2,
    firstDevice: { ide: 13, floppy: 9 },
    defaultDevices: { ide: 2, floppy: 2 },
  },
];

/** By its name in full or an alias. */
export function findMachineType(name: 'none' | 'pc' | 'q35'): MachineType;
export function findMachineType(name: string): MachineType | undefined;
export function findMachineType(name: string): MachineType | undefined {
  return machineTypes.find((type) => type.name === name || type.aliases.includes(name));
}
