/**
 * The commands of a program that stands in for a whole machine: those about its disks and devices, and those that
 * management programs ask of any machine. A page, whose monitor only its own program talks to, does without the latter.
 */
import type { AnyCommand } from '../command.ts';
import { absentParts } from './absent-parts.ts';
import { machineCommands } from './machine.ts';
import { migrationQueries } from './migration-queries.ts';
import { processorQueries } from './processor-queries.ts';
import { queryCommandLineOptions } from './query-command-line-options.ts';
import { queryIothreads } from './query-iothreads.ts';
import { queryPci } from './query-pci.ts';
import { exportCommands } from './storage-daemon.ts';

/** The QMP commands of `blockyard system` and `vm`. */
export const systemCommands: readonly AnyCommand[] = [
  ...machineCommands,
  ...exportCommands,
  queryIothreads,
  queryCommandLineOptions,
  queryPci,
  ...processorQueries,
  ...migrationQueries,
  ...absentParts,
];
