/** The models of devices, one line each, and those of QEMU's storage devices that are not served. */
import { invalid } from '../base/errors.ts';
import type { Device, DeviceTypeInfo } from './device.ts';
import { floppyType } from './devices/floppy.ts';
import { isaFdcType } from './devices/floppy-controller.ts';
import { ideCdType, ideHdType } from './devices/ide.ts';
import { scsiCdType, scsiHdType } from './devices/scsi.ts';
import { virtioBlkType } from './devices/virtio-blk.ts';
import { virtioScsiType } from './devices/virtio-scsi.ts';
import type { Machine } from './machine.ts';

export interface DeviceType extends DeviceTypeInfo {
  readonly aliases?: readonly string[];
  /** As `-device help` has it. */
  readonly description?: string;
  create(machine: Machine): Device;
}

export const deviceTypes: readonly DeviceType[] = [
  floppyType,
  ideCdType,
  ideHdType,
  isaFdcType,
  scsiCdType,
  scsiHdType,
  virtioBlkType,
  virtioScsiType,
];

const unsupported =
  /^(nvme|nvme-ns|usb-storage|usb-bot|usb-uas|scsi-block|scsi-generic|ich9-ahci|ahci|sd-card|vhost-.*|virtio-.*-(device|transitional|non-transitional)|lsi53c8.*|megasas.*|mptsas.*|am53c974|dc390|pvscsi|piix[34]-ide|pci-bridge|pcie-root-port|ide-cf|isa-ide)$/;

/** One of `types`. Errors: unknown; known and not served. */
export function findDeviceType(types: readonly DeviceType[], name: string): DeviceType {
  const type = types.find((candidate) => candidate.name === name || candidate.aliases?.includes(name));
  if (type) return type;
  if (unsupported.test(name)) throw invalid(`device model '${name}' is not supported`);
  throw invalid(`'${name}' is not a valid device model name`);
}
