/** The models of devices, one line each. */
import type { DeviceType } from './device-type.ts';
import { floppyType } from './devices/floppy.ts';
import { isaFdcType } from './devices/floppy-controller.ts';
import { ideCdType, ideHdType } from './devices/ide.ts';
import { scsiCdType, scsiHdType } from './devices/scsi.ts';
import { virtioBlkType } from './devices/virtio-blk.ts';
import { virtioScsiType } from './devices/virtio-scsi.ts';

/** The models that `device_add` knows. */
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
