/** floppy: a drive of a floppy controller. It has no tray, and its medium may be changed at any time. */
import { invalid } from '../../base/errors.ts';
import { BlockDevice, blockProperties } from '../block-device.ts';
import type { DeviceType } from '../device-type.ts';
import { floppyType as driveType, number32, unsetUint32 } from '../property.ts';

class Floppy extends BlockDevice {
  protected override async open(): Promise<void> {
    this.takePlace();
    const drive = this.machine.graph.backends.find(this.drive);
    if (drive && drive.errorPolicies.write !== 'enospc' && drive.errorPolicies.write !== 'report') {
      throw invalid("fdc doesn't support drive option werror");
    }
    if (drive && drive.errorPolicies.read !== 'report') {
      throw invalid("fdc doesn't support drive option rerror");
    }
    await this.openFront({
      ownerType: 'floppy',
      canResize: false,
      readOnly: 'accepted',
      isRemovable: true,
      hasTray: false,
      reportsIoStatus: false,
      needsMedium: false,
    });
    if (this.string('drive-type') === 'auto') this.values.set('drive-type', this.typeOfMedium());
  }

  /** The drive for the medium that is in it now. */
  private typeOfMedium(): string {
    const { backend } = this.front;
    return (backend.hasMedium ? driveTypes[backend.length] : undefined) ?? '288';
  }

  private takePlace(): void {
    const { bus } = this;
    if (!bus) return;
    const others = bus.devices.filter((device) => device !== this) as Floppy[];
    const taken = new Set(others.map((device) => device.number('unit')));
    let unit = this.number('unit');
    if (unit === unsetUint32) {
      unit = 0;
      while (taken.has(unit)) unit++;
    }
    if (unit >= floppiesPerController) {
      throw invalid(`Can't create floppy unit ${unit}, bus supports only ${floppiesPerController} units`);
    }
    if (taken.has(unit)) throw invalid(`Floppy unit ${unit} is in use`);
    this.values.set('unit', unit);
  }
}

export const floppiesPerController = 2;
/** By the size of the medium in bytes. */
const driveTypes: Readonly<Record<number, string>> = { 1474560: '144', 2949120: '288', 1228800: '120' };

export const floppyType: DeviceType = {
  name: 'floppy',
  description: 'virtual floppy drive',
  busKind: 'floppy-bus',
  properties: [number32('unit', unsetUint32), ...blockProperties, driveType('drive-type')],
  create: (machine) => new Floppy(machine, floppyType),
};
