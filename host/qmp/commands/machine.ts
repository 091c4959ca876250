/**
 * The commands of a program with a machine, in the order of their registration: all that the storage daemon has, and
 * those about the machine, its devices and their media, one line each.
 */
import type { AnyCommand } from '../command.ts';
import { blockdevChangeMedium } from './blockdev-change-medium.ts';
import { blockdevCloseTray } from './blockdev-close-tray.ts';
import { blockdevInsertMedium } from './blockdev-insert-medium.ts';
import { blockdevOpenTray } from './blockdev-open-tray.ts';
import { blockdevRemoveMedium } from './blockdev-remove-medium.ts';
import { cont } from './cont.ts';
import { deviceAdd } from './device-add.ts';
import { deviceDel } from './device-del.ts';
import { eject } from './eject.ts';
import { commands } from './index.ts';
import { queryName } from './query-name.ts';
import { queryStatus } from './query-status.ts';
import { queryUuid } from './query-uuid.ts';
import { snapshotDelete } from './snapshot-delete.ts';
import { snapshotLoad } from './snapshot-load.ts';
import { snapshotSave } from './snapshot-save.ts';
import { stop } from './stop.ts';
import { systemPowerdown } from './system-powerdown.ts';
import { systemReset } from './system-reset.ts';

/** The QMP commands of a machine. */
export const machineCommands: readonly AnyCommand[] = [
  queryStatus,
  eject,
  blockdevOpenTray,
  blockdevCloseTray,
  blockdevRemoveMedium,
  blockdevInsertMedium,
  blockdevChangeMedium,
  ...commands,
  snapshotSave,
  snapshotLoad,
  snapshotDelete,
  deviceDel,
  queryUuid,
  systemReset,
  systemPowerdown,
  queryName,
  stop,
  cont,
  deviceAdd,
];
