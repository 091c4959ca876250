/** virtio-scsi-pci: a controller with a SCSI bus of its own. */
import type { QomObject } from '../../objects/qom.ts';
import type { Bus } from '../bus.ts';
import { Device } from '../device.ts';
import type { DeviceType } from '../device-type.ts';
import { flag, link, number32, unsetUint32 } from '../property.ts';
import { takePciAddress } from './pci-address.ts';
import { pciPropertiesOf, virtioPciProperties, virtioProperties } from './virtio-pci.ts';

class VirtioScsi extends Device {
  private scsi: Bus | undefined;
  override readonly children = new Map<string, QomObject>([
    ['virtio-backend', { typeName: 'virtio-scsi-device', isDevice: true, properties: [] }],
  ]);

  protected override async open(): Promise<void> {
    const { buses } = this.machine;
    takePciAddress(this);
    const name = buses.nameFor(this.id, 'scsi');
    const path = `${this.path}/virtio-backend/${name}`;
    this.scsi = buses.add({ name, path, kind: 'SCSI', canHotplug: true });
    if (this.number('num_queues') === unsetUint32) this.values.set('num_queues', 1);
  }

  protected override async close(): Promise<void> {
    if (this.scsi) this.machine.buses.remove(this.scsi);
    this.scsi = undefined;
  }

  override dependents(): readonly Device[] {
    return this.scsi?.devices ?? [];
  }

  place(address: number): void {
    this.values.set('addr', address);
  }

  override deletedPaths(): readonly { id?: string; path: string }[] {
    return [{ path: `${this.path}/virtio-backend` }, ...super.deletedPaths()];
  }
}

export const virtioScsiType: DeviceType = {
  name: 'virtio-scsi-pci',
  aliases: ['virtio-scsi'],
  busKind: 'PCI',
  properties: [
    ...pciPropertiesOf('virtio-scsi-pci'),
    ...virtioPciProperties,
    ...virtioProperties,
    number32('num_queues', unsetUint32),
    number32('virtqueue_size', 256),
    flag('seg_max_adjust', true),
    number32('max_sectors', 0xffff),
    number32('cmd_per_lun', 128),
    flag('hotplug', true),
    flag('param_change', true),
    link('iothread', 'iothread'),
  ],
  create: (machine) => new VirtioScsi(machine, virtioScsiType),
};
