/** virtio-blk-pci: a disk on the PCI bus. The disk itself is held by its part `virtio-backend`. */
import { invalid } from '../../base/errors.ts';
import type { QomObject, QomProperty } from '../../objects/qom.ts';
import {
  BlockDevice,
  blockProperties,
  bootProperty,
  errorProperties,
  geometryProperties,
} from '../block-device.ts';
import type { DeviceType } from '../device-type.ts';
import { flag, link, number16, number32, text } from '../property.ts';
import { takePciAddress } from './pci-address.ts';
import { pciPropertiesOf, virtioPciProperties, virtioProperties } from './virtio-pci.ts';

const autoQueues = 0xffff;
const maxQueueSize = 1024;

const diskProperties = [
  ...blockProperties,
  ...errorProperties,
  ...geometryProperties,
  bootProperty,
  text('serial'),
  flag('config-wce', true),
  flag('scsi'),
  flag('request-merging', true),
  link('iothread', 'iothread'),
  flag('discard', true),
  flag('report-discard-granularity', true),
  flag('write-zeroes', true),
  flag('seg-max-adjust', true),
  number16('num-queues', autoQueues),
  number16('queue-size', 256),
  number32('max-discard-sectors', 4194303),
  number32('max-write-zeroes-sectors', 4194303),
  flag('x-enable-wce-if-config-wce', true),
  ...virtioProperties,
];

/** What a client sees of the part that holds the disk; its properties are the device's. */
class Backend implements QomObject {
  readonly typeName = 'virtio-blk-device';
  readonly isDevice = true;

  constructor(private readonly device: VirtioBlk) {}

  get properties(): readonly QomProperty[] {
    const names = new Set(diskProperties.map(({ name }) => name));
    return this.device.properties.filter(
      ({ name }) =>
        names.has(name) || ['realized', 'hotplugged', 'hotpluggable', 'parent_bus'].includes(name),
    );
  }
}

class VirtioBlk extends BlockDevice {
  override readonly children = new Map<string, QomObject>([['virtio-backend', new Backend(this)]]);

  protected override async open(): Promise<void> {
    takePciAddress(this);
    if (this.drive === '') throw invalid('drive property not set');
    const size = this.number('queue-size');
    const checkQueues = (): void => {
      if (this.number('num-queues') === 0) throw invalid('num-queues property must be larger than 0');
      if (size <= 2 || size > maxQueueSize || !Number.isInteger(Math.log2(size))) {
        throw invalid(`invalid queue-size property (${size}), must be a power of 2 (max ${maxQueueSize})`);
      }
    };
    await this.openFront(
      {
        ownerType: 'virtio-blk-device',
        canResize: true,
        readOnly: 'accepted',
        isRemovable: false,
        hasTray: false,
        reportsIoStatus: true,
        needsMedium: true,
      },
      checkQueues,
    );
    // One queue for each processor, and there is at most one of those.
    if (this.number('num-queues') === autoQueues) this.values.set('num-queues', 1);
  }

  protected override get frontPath(): { name: string; path: string } {
    const path = `${this.path}/virtio-backend`;
    return { name: path, path };
  }

  place(address: number): void {
    this.values.set('addr', address);
  }

  override deletedPaths(): readonly { id?: string; path: string }[] {
    return [{ path: `${this.path}/virtio-backend` }, ...super.deletedPaths()];
  }
}

export const virtioBlkType: DeviceType = {
  name: 'virtio-blk-pci',
  aliases: ['virtio-blk'],
  busKind: 'PCI',
  properties: [...pciPropertiesOf('virtio-blk-pci'), ...virtioPciProperties, ...diskProperties],
  create: (machine) => new VirtioBlk(machine, virtioBlkType),
};
