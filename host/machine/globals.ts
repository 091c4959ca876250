/**
 * `-global`: values for properties of every device of a type, whoever makes it, below what a device is given itself
 * (specification: cli, section 6).
 *
 * A device has the properties of the types that it is derived from, and of its part that holds the disk. What does not fit is the
 * error of the device; one that comes while the machine runs is made without it.
 */
import { BlockError } from '../base/errors.ts';
import type { Device, DeviceTypeInfo } from './device.ts';

export interface GlobalProperty {
  readonly driver: string;
  /** Undefined: nobody has said which. */
  readonly property: string | undefined;
  readonly value: string | undefined;
}

const pci = ['pci-device', 'device'];
/** What types are derived from, and their parts. */
const ancestors: Readonly<Record<string, readonly string[]>> = {
  'virtio-blk-pci': ['virtio-blk-device', 'virtio-blk-pci-base', 'virtio-device', 'virtio-pci', ...pci],
  'virtio-scsi-pci': ['virtio-scsi-device', 'virtio-scsi-pci-base', 'virtio-device', 'virtio-pci', ...pci],
  'ide-hd': ['ide-device', 'device'],
  'ide-cd': ['ide-device', 'device'],
  'scsi-hd': ['scsi-disk-base', 'scsi-device', 'device'],
  'scsi-cd': ['scsi-disk-base', 'scsi-device', 'device'],
  floppy: ['device'],
  'isa-fdc': ['isa-device', 'device'],
};

/** Parts of QEMU's machines that command lines often say something about, and that have nothing to do with disks. */
const partsElsewhere =
  /^(PIIX4_PM|ICH9-LPC|ICH9-SMB|mc146818rtc|kvm-pit|kvmclock|hpet|cfi\.pflash01|isa-.*|i440FX-pcihost|q35-pcihost|mch|VGA|.*-vga|qxl.*|cirrus.*|virtio-.*|vhost-.*|usb-.*|.*-usb-.*|.*-xhci|e1000.*|rtl8139|hda-.*|intel-.*|ich9-.*|nvme.*|sd-card|sdhci-pci|pcie-.*|pci-.*|.*-cpu|fw_cfg.*|migration|tpm-.*|pvpanic.*|serial.*|ioapic|apic)$/;

function typesOf({ name }: DeviceTypeInfo): readonly string[] {
  return [name, ...(ancestors[name] ?? [])];
}

export class GlobalProperties {
  constructor(private readonly list: readonly GlobalProperty[]) {}

  /** Errors: BlockError, a value that does not fit. `warn`: it is said instead. */
  applyTo(device: Device, warn: ((message: string) => void) | undefined): void {
    applyGlobals(this.list, device, warn);
  }

  /** Those that name no type of devices, as messages call them. */
  unknown(types: readonly DeviceTypeInfo[]): string[] {
    return unknownGlobals(this.list, types);
  }
}

function applyGlobals(
  globals: readonly GlobalProperty[],
  device: Device,
  warn: ((message: string) => void) | undefined,
): void {
  const types = typesOf(device.type);
  for (const { driver, property = '', value = '' } of globals) {
    if (!types.includes(driver)) continue;
    try {
      device.setProperty(property, value, true);
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
      const failure = error.within(`can't apply global ${driver}.${property}=${value}`);
      if (!warn) throw failure;
      warn(failure.message);
    }
  }
}

function unknownGlobals(globals: readonly GlobalProperty[], types: readonly DeviceTypeInfo[]): string[] {
  const known = new Set(types.flatMap(typesOf));
  return globals
    .filter(({ driver }) => !known.has(driver) && !partsElsewhere.test(driver))
    .map(({ driver, property = '(null)' }) => `${driver}.${property}`);
}
