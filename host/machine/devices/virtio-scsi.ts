/** virtio-scsi-pci: a controller with a SCSI bus of its own. */
import { invalid } from '../../base/errors.ts';
import type { QomObject } from '../../objects/qom.ts';
import type { Bus } from '../bus.ts';
import { Device } from '../device.ts';
import type { DeviceType } from '../device-type.ts';
import { flag, number32, type PropertySpec, unsetUint32 } from '../property.ts';
import { checkIothreads, iothreadProperties } from './iothread-choice.ts';
import { takePciAddress } from './pci-address.ts';
import { pciPropertiesOf, virtioPciProperties, virtioProperties } from './virtio-pci.ts';

/** There are two more, which are not for requests. */
const maxQueues = 1022;

const controllerProperties: readonly PropertySpec[] = [
  ...virtioProperties,
  number32('num_queues', unsetUint32),
  number32('virtqueue_size', 256),
  flag('seg_max_adjust', true),
  number32('max_sectors', 0xffff),
  number32('cmd_per_lun', 128),
  flag('hotplug', true),
  flag('param_change', true),
  ...iothreadProperties,
];

class VirtioScsi extends Device {
  private scsi: Bus | undefined;
  override readonly children = new Map<string, QomObject>([
    ['virtio-backend', { typeName: 'virtio-scsi-device', isDevice: true, properties: [] }],
  ]);

  protected override async open(): Promise<void> {
    const { buses } = this.machine;
    takePciAddress(this);
    this.checkQueues();
    const name = buses.nameFor(this.id, 'scsi');
    const path = `${this.path}/virtio-backend/${name}`;
    this.scsi = buses.add({ name, path, kind: 'SCSI', canHotplug: true });
  }

  private checkQueues(): void {
    const count = this.number('num_queues');
    // One queue for each processor, and there is at most one of those.
    if (count === unsetUint32) this.values.set('num_queues', 1);
    else if (count === 0 || count > maxQueues) {
      throw invalid(
        `Invalid number of queues (= ${count}), must be a positive integer less than ${maxQueues}.`,
      );
    }
    checkIothreads(this.values, this.number('num_queues'), this.machine.tree);
  }

  protected override async close(): Promise<void> {
    if (this.scsi) this.machine.buses.remove(this.scsi);
    this.scsi = undefined;
  }

  override dependents(): readonly Device[] {
    return this.scsi?.devices ?? [];
  }

  protected override partWith(name: string): string | undefined {
    return controllerProperties.some((spec) => spec.name === name) ? 'virtio-scsi-device' : undefined;
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
  properties: [...pciPropertiesOf('virtio-scsi-pci'), ...virtioPciProperties, ...controllerProperties],
  create: (machine) => new VirtioScsi(machine, virtioScsiType),
};
