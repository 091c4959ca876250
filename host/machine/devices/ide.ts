/** ide-hd and ide-cd: a disk and a CD drive, each a unit of an IDE bus. */
import { invalid } from '../../base/errors.ts';
import {
  BlockDevice,
  blockProperties,
  bootProperty,
  errorProperties,
  geometryProperties,
} from '../block-device.ts';
import type { DeviceType } from '../device-type.ts';
import {
  flag,
  number16,
  number32,
  number64,
  type PropertySpec,
  text,
  translation,
  unsetUint32,
} from '../property.ts';

const ideProperties: readonly PropertySpec[] = [
  ...blockProperties,
  ...errorProperties,
  bootProperty,
  number32('unit', unsetUint32),
  text('ver'),
  text('serial'),
  text('model'),
  number64('wwn'),
  flag('win2k-install-hack'),
];

/** Each bus has two of them, used or not. */
const serialsPerBus = 2;

abstract class IdeDevice extends BlockDevice {
  protected override get discardGranularity(): number {
    return this.number('logical_block_size');
  }

  protected takePlace(): void {
    const { bus } = this;
    if (!bus) return;
    const others = bus.devices.filter((device) => device !== this) as IdeDevice[];
    const taken = new Set(others.map((device) => device.number('unit')));
    let unit = this.number('unit');
    if (unit === unsetUint32) unit = taken.has(0) ? 1 : 0;
    if (unit >= bus.units) {
      throw invalid(`Can't create IDE unit ${unit}, bus supports only ${bus.units} units`);
    }
    if (taken.has(unit)) throw invalid(`IDE unit ${unit} is in use`);
    this.values.set('unit', unit);
    const number = Number(bus.name.replace(/^\D*/, '')) * serialsPerBus + unit + 1;
    if (this.string('serial') === '') this.values.set('serial', `QM${String(number).padStart(5, '0')}`);
    if (this.string('ver') === '') this.values.set('ver', '2.5+');
  }
}

class IdeDisk extends IdeDevice {
  protected override async open(): Promise<void> {
    if (this.drive === '') throw invalid('No drive specified');
    this.takePlace();
    await this.openFront({
      ownerType: 'ide-hd',
      canResize: true,
      readOnly: 'refused',
      isRemovable: false,
      hasTray: false,
      reportsIoStatus: true,
      needsMedium: true,
      maxHeads: 16,
    });
  }
}

class IdeCd extends IdeDevice {
  protected override async open(): Promise<void> {
    this.takePlace();
    await this.openFront({
      ownerType: 'ide-cd',
      canResize: false,
      readOnly: 'always',
      isRemovable: true,
      hasTray: true,
      reportsIoStatus: true,
      needsMedium: false,
    });
  }
}

export const ideHdType: DeviceType = {
  name: 'ide-hd',
  description: 'virtual IDE disk',
  busKind: 'IDE',
  properties: [
    ...ideProperties,
    ...geometryProperties,
    translation('bios-chs-trans'),
    number16('rotation_rate'),
  ],
  create: (machine) => new IdeDisk(machine, ideHdType),
};

export const ideCdType: DeviceType = {
  name: 'ide-cd',
  description: 'virtual IDE CD-ROM',
  busKind: 'IDE',
  properties: ideProperties,
  create: (machine) => new IdeCd(machine, ideCdType),
};
