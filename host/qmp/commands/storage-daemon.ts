/**
 * The commands of a storage daemon: those about exports beside those about nodes and jobs, which are all that a page has use
 * for, where nobody listens.
 */
import type { AnyCommand } from '../command.ts';
import { blockExportAdd } from './block-export-add.ts';
import { blockExportDel } from './block-export-del.ts';
import { commands } from './index.ts';
import { nbdServerAdd } from './nbd-server-add.ts';
import { nbdServerRemove } from './nbd-server-remove.ts';
import { nbdServerStart } from './nbd-server-start.ts';
import { nbdServerStop } from './nbd-server-stop.ts';
import { queryBlockExports } from './query-block-exports.ts';

export const exportCommands: readonly AnyCommand[] = [
  nbdServerStart,
  nbdServerAdd,
  nbdServerRemove,
  nbdServerStop,
  blockExportAdd,
  blockExportDel,
  queryBlockExports,
];

/** The QMP commands of `blockyard storage-daemon`. */
export const storageDaemonCommands: readonly AnyCommand[] = [...commands, ...exportCommands];
