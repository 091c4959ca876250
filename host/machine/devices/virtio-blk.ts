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
import { flag, number16, number32, text } from '../property.ts';
import { checkIothreads, iothreadProperties } from './iothread-choice.ts';
import { takePciAddress } from './pci-address.ts';
import { pciPropertiesOf, virtioPciProperties, virtioProperties } from './virtio-pci.ts';

const autoQueues = 0xffff;
const maxQueueSize = 1024;
const maxSectors = 4194303;

const diskProperties = [
  ...blockProperties,
  ...errorProperties,
  ...geometryProperties,
  bootProperty,
  text('serial'),
  flag('config-wce', true),
  flag('request-merging', true),
  ...iothreadProperties,
  flag('discard', true),
  flag('report-discard-granularity', true),
  flag('write-zeroes', true),
  flag('seg-max-adjust', true),
  number16('num-queues', autoQueues),
  number16('queue-size', 256),
  number32('max-discard-sectors', maxSectors),
  number32('max-write-zeroes-sectors', maxSectors),
  flag('x-enable-wce-if-config-wce', true),
  ...virtioProperties,
];

const diskPropertyNames: ReadonlySet<string> = new Set(diskProperties.map(({ name }) => name));

/** What a client sees of the part that holds the disk; its properties are the device's. */
class Backend implements QomObject {
  readonly typeName = 'virtio-blk-device';
  readonly isDevice = true;

  constructor(private readonly device: VirtioBlk) {}

  get properties(): readonly QomProperty[] {
    return this.device.properties.filter(
      ({ name }) =>
        diskPropertyNames.has(name) ||
        ['realized', 'hotplugged', 'hotpluggable', 'parent_bus'].includes(name),
    );
  }
}

class VirtioBlk extends BlockDevice {
  override readonly children = new Map<string, QomObject>([['virtio-backend', new Backend(this)]]);

  protected override async open(): Promise<void> {
    takePciAddress(this);
    if (this.drive === '') throw invalid('drive property not set');
    await this.openFront(
      {
        ownerType: 'virtio-blk-device',
        canResize: true,
        readOnly: 'accepted',
        isRemovable: false,
        hasTray: false,
        reportsIoStatus: true,
        needsMedium: true,
        checksSizesLate: true,
      },
      { before: () => this.settleQueues(), after: () => this.checkRest() },
    );
  }

  private settleQueues(): void {
    const count = this.number('num-queues');
    // One queue for each processor, and there is at most one of those.
    if (count === autoQueues) this.values.set('num-queues', 1);
    if (count === 0) throw invalid('num-queues property must be larger than 0');
    const size = this.number('queue-size');
    if (size <= 2 || size > maxQueueSize || !Number.isInteger(Math.log2(size))) {
      throw invalid(`invalid queue-size property (${size}), must be a power of 2 (max ${maxQueueSize})`);
    }
  }

  private checkRest(): void {
    this.checkBlockSizes();
    for (const what of ['discard', 'write-zeroes']) {
      const name = `max-${what}-sectors`;
      const sectors = this.number(name);
      if (this.bool(what) && (sectors < 1 || sectors > maxSectors)) {
        throw invalid(`invalid ${name} property (${sectors}), must be between 1 and ${maxSectors}`);
      }
    }
    checkIothreads(this.values, this.number('num-queues'), this.machine.tree);
  }

  protected override get frontPath(): { name: string; path: string } {
    const path = `${this.path}/virtio-backend`;
    return { name: path, path };
  }

  protected override partWith(name: string): string | undefined {
    return diskPropertyNames.has(name) ? 'virtio-blk-device' : undefined;
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
  properties: [
    ...pciPropertiesOf('virtio-blk-pci'),
    ...virtioPciProperties,
    number32('class'),
    ...diskProperties,
  ],
  create: (machine) => new VirtioBlk(machine, virtioBlkType),
};
