/** scsi-hd and scsi-cd: a disk and a CD drive on a SCSI bus, each at a target and a unit of it. */
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
  signed32,
  text,
  unsetUint32,
} from '../property.ts';

const maxChannel = 0;
const maxTarget = 255;
const maxUnit = 16383;
const discardBytes = 4096;

const scsiProperties: readonly PropertySpec[] = [
  ...blockProperties,
  ...errorProperties,
  bootProperty,
  number32('channel'),
  number32('scsi-id', unsetUint32),
  number32('lun', unsetUint32),
  text('ver'),
  text('serial'),
  text('vendor'),
  text('product'),
  text('device_id'),
  number64('wwn'),
  number64('port_wwn'),
  number16('port_index'),
  flag('migrate-emulated-scsi-request', true),
  number64('max_io_size', 2147483647),
  signed32('scsi_version', 5),
];

abstract class ScsiDevice extends BlockDevice {
  protected override get discardGranularity(): number {
    return discardBytes;
  }

  /** Finds its place on the bus, or checks the one it was given. */
  protected takePlace(): void {
    const channel = this.number('channel');
    if (channel > maxChannel) throw invalid(`bad scsi channel id: ${channel}`);
    let target = this.number('scsi-id');
    let unit = this.number('lun');
    if (target !== unsetUint32 && target > maxTarget) throw invalid(`bad scsi device id: ${target}`);
    if (unit !== unsetUint32 && unit > maxUnit) throw invalid(`bad scsi device lun: ${unit}`);
    if (target === unsetUint32) {
      const wanted = unit === unsetUint32 ? 0 : unit;
      target = firstFree((id) => this.at(id, wanted), maxTarget);
      if (target > maxTarget) throw invalid('no free target');
      unit = wanted;
    } else if (unit === unsetUint32) {
      unit = firstFree((number) => this.at(target, number), maxUnit);
      if (unit > maxUnit) throw invalid('no free lun');
    }
    const there = this.at(target, unit);
    if (there) throw invalid(`lun already used by '${there.id ?? '(null)'}'`);
    this.values.set('scsi-id', target);
    this.values.set('lun', unit);
  }

  private at(target: number, unit: number): ScsiDevice | undefined {
    return this.bus?.devices.find(
      (device): device is ScsiDevice =>
        device !== this && device instanceof ScsiDevice && device.isAt(target, unit),
    );
  }

  private isAt(target: number, unit: number): boolean {
    return this.number('scsi-id') === target && this.number('lun') === unit;
  }
}

function firstFree(taken: (number: number) => unknown, max: number): number {
  let number = 0;
  while (number <= max && taken(number)) number++;
  return number;
}

class ScsiDisk extends ScsiDevice {
  protected override async open(): Promise<void> {
    this.takePlace();
    if (this.drive === '') throw invalid('drive property not set');
    const isRemovable = this.bool('removable');
    await this.openFront({
      ownerType: 'scsi-hd',
      canResize: true,
      readOnly: 'accepted',
      isRemovable,
      hasTray: isRemovable,
      reportsIoStatus: true,
      needsMedium: !isRemovable,
    });
  }
}

class ScsiCd extends ScsiDevice {
  protected override async open(): Promise<void> {
    this.takePlace();
    await this.openFront({
      ownerType: 'scsi-cd',
      canResize: false,
      readOnly: 'always',
      isRemovable: true,
      hasTray: true,
      reportsIoStatus: true,
      needsMedium: false,
    });
  }
}

export const scsiHdType: DeviceType = {
  name: 'scsi-hd',
  description: 'virtual SCSI disk',
  busKind: 'SCSI',
  properties: [
    ...scsiProperties,
    ...geometryProperties,
    flag('removable'),
    flag('dpofua'),
    number16('rotation_rate'),
    number64('max_unmap_size', 1 << 30),
    flag('quirk_mode_page_vendor_specific_apple'),
  ],
  create: (machine) => new ScsiDisk(machine, scsiHdType),
};

export const scsiCdType: DeviceType = {
  name: 'scsi-cd',
  description: 'virtual SCSI CD-ROM',
  busKind: 'SCSI',
  properties: [
    ...scsiProperties,
    flag('quirk_mode_page_apple_vendor'),
    flag('quirk_mode_sense_rom_use_dbd'),
    flag('quirk_mode_page_vendor_specific_apple'),
    flag('quirk_mode_page_truncated'),
  ],
  create: (machine) => new ScsiCd(machine, scsiCdType),
};
