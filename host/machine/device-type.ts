/** What a model of devices is, and finding one by the name that users give. */
import { invalid } from '../base/errors.ts';
import type { Device, DeviceTypeInfo } from './device.ts';
import type { Machine } from './machine.ts';

export interface DeviceType extends DeviceTypeInfo {
  readonly aliases?: readonly string[];
  /** As `-device help` has it. */
  readonly description?: string;
  create(machine: Machine): Device;
}

/** QEMU's storage devices that are not served. */
const unsupported =
  /^(nvme|nvme-ns|usb-storage|usb-bot|usb-uas|scsi-block|scsi-generic|ich9-ahci|ahci|sd-card|vhost-.*|virtio-.*-(device|transitional|non-transitional)|lsi53c8.*|megasas.*|mptsas.*|am53c974|dc390|pvscsi|piix[34]-ide|pci-bridge|pcie-root-port|ide-cf|isa-ide)$/;

/** One of `types`. Errors: unknown, in the words of `unknown`; known and not served. */
export function findDeviceType(
  types: readonly DeviceType[],
  name: string,
  unknown = `'${name}' is not a valid device model name`,
): DeviceType {
  const type = types.find((candidate) => candidate.name === name || candidate.aliases?.includes(name));
  if (type) return type;
  if (unsupported.test(name)) throw invalid(`device model '${name}' is not supported`);
  throw invalid(unknown);
}
