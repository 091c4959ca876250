/**
 * The IDE devices of a machine as v86 takes them: `hda` and `hdb` are the units of its first IDE bus, `cdrom` is the
 * first unit of the second.
 *
 * Devices on other buses are no business of v86, and ones that it has no place for are refused. A drive without a medium
 * is left out: v86 takes no media that come later from here.
 */
import { invalid } from '../../base/errors.ts';
import { BlockDevice } from '../../machine/block-device.ts';
import type { Machine } from '../../machine/machine.ts';
import { type FlushPolicy, LocalGuestDisk } from '../local-disk.ts';
import { V86Disk } from './disk.ts';

/** To be spread into v86's options. */
export interface V86Drives {
  hda?: V86Disk;
  hdb?: V86Disk;
  cdrom?: V86Disk;
}

/** Errors: BlockError; a device that v86 cannot have, or a disk whose size it cannot. */
export function v86Drives(machine: Machine, policy?: FlushPolicy): V86Drives {
  const drives: V86Drives = {};
  for (const device of machine.devices) {
    if (!(device instanceof BlockDevice) || device.bus?.kind !== 'IDE') continue;
    const place = placeOf(device);
    const disk = new LocalGuestDisk(device, policy);
    if (disk.byteLength === 0) continue;
    drives[place] = new V86Disk(disk, place === 'cdrom' ? 'cdrom' : 'disk');
  }
  return drives;
}

function placeOf(device: BlockDevice): keyof V86Drives {
  const unit = device.properties.find(({ name }) => name === 'unit')?.get?.();
  const where = `${device.typeName} ${device.bus?.name}:${unit}`;
  if (where === 'ide-hd ide.0:0') return 'hda';
  if (where === 'ide-hd ide.0:1') return 'hdb';
  if (where === 'ide-cd ide.1:0') return 'cdrom';
  throw invalid(
    `v86 has no place for ${device.typeName} as unit ${unit} of bus '${device.bus?.name}': disks are units 0 and 1 of 'ide.0', the CD drive is unit 0 of 'ide.1'`,
  );
}
