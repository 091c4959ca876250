/**
 * The snapshot table in a consistency check (specification: qcow2, sections 10.3 to 10.5).
 *
 * A table that cannot be read as a whole stops the check. With errors to be fixed, what is over the limits is dropped
 * and entries of version 3 with too little extra data are completed: the new table is written behind the end of the
 * file, where nothing refers to it, counted along with the old one, and published by a header update when its
 * refcounts are on disk. Then the old table is freed.
 */
import { asBlockError, BlockError } from '../../../base/errors.ts';
import { roundUp } from '../../../base/sectors.ts';
import type { CheckOptions } from '../../../block/driver.ts';
import { maxL1Entries, type Qcow2Header } from '../disk/header.ts';
import { updateHeader } from '../disk/header-update.ts';
import { type ImageFile, padded } from '../disk/image-file.ts';
import {
  countEntries,
  maxSnapshotExtraBytes,
  minExtraBytesV3,
  readSnapshotTable,
  type Snapshot,
  type SnapshotTable,
  type SnapshotTableRepair,
  serializeSnapshotTable,
} from '../disk/snapshot-table.ts';
import type { CheckedImage } from './checked-image.ts';
import { freeStructure } from './refcounts.ts';

interface TableRange {
  offset: number;
  bytes: number;
}

export interface CheckedSnapshots {
  readonly l1Tables: readonly { offset: number; entries: number; weight: number }[];
  /** Descriptions of L1 tables that cannot be walked. */
  readonly badL1Tables: readonly string[];
  /** Snapshot tables to count: the one in use and, during a repair, its successor. */
  readonly tables: readonly TableRange[];
  readonly corruptions: number;
  readonly corruptionsFixed: number;
  /** Whether a cluster belongs to the new table, which no finding is about. */
  isNewTable(cluster: number): boolean;
  /** Switches to the new table, if there is one; its refcounts are on disk. */
  publish(image: CheckedImage): Promise<void>;
}

export async function loadSnapshotsForCheck(
  file: ImageFile,
  header: Qcow2Header,
  options: CheckOptions,
): Promise<CheckedSnapshots> {
  const { fix } = options;
  const repair: SnapshotTableRepair | undefined = fix.errors
    ? { droppedSnapshots: 0, truncatedEntries: [] }
    : undefined;
  const table = await readTable(file, header, { repair, report: options.report });
  let corruptions = 0;
  if (repair) {
    if (repair.droppedSnapshots > 0) {
      options.report(`Discarding ${repair.droppedSnapshots} overhanging snapshots`);
    }
    for (const index of repair.truncatedEntries) {
      options.report(
        `Discarding too much extra metadata in snapshot table entry ${index} (more than ${maxSnapshotExtraBytes})`,
      );
    }
    corruptions += repair.droppedSnapshots + repair.truncatedEntries.length;
  }
  const incompleteEntries = findIncomplete(table.snapshots, header.version);
  for (const index of incompleteEntries) {
    options.report(`${fix.errors ? 'Repairing' : 'ERROR'} snapshot table entry ${index} is incomplete`);
  }
  corruptions += incompleteEntries.length;

  const old: TableRange = { offset: header.snapshotsOffset, bytes: table.bytes };
  const renewed =
    fix.errors && corruptions > 0 ? await writeNewTable(file, header, table.snapshots) : undefined;
  const groups = groupL1Tables(table.snapshots, header.clusterSize);
  return {
    l1Tables: groups.tables,
    badL1Tables: groups.problems,
    tables: renewed === undefined ? [old] : [old, renewed],
    corruptions: fix.errors ? 0 : corruptions,
    corruptionsFixed: fix.errors ? corruptions : 0,
    isNewTable: (cluster) => {
      const at = cluster * header.clusterSize;
      return renewed !== undefined && at >= renewed.offset && at < renewed.offset + renewed.bytes;
    },
    publish: async (image) => {
      if (renewed === undefined) return;
      const offset = renewed.bytes === 0 ? 0 : renewed.offset;
      await updateHeader(file, { snapshotTable: { offset, count: table.snapshots.length } });
      if (old.offset + old.bytes <= file.length) await freeStructure(image, old.offset, old.bytes);
    },
  };
}

async function readTable(
  file: ImageFile,
  header: Qcow2Header,
  how: { repair: SnapshotTableRepair | undefined; report: CheckOptions['report'] },
): Promise<SnapshotTable> {
  const reported = (error: unknown, describe: (message: string) => string): BlockError => {
    const { errno, message, hint } = asBlockError(error);
    how.report(`ERROR ${describe(message)}`, true);
    if (hint !== undefined) how.report(hint);
    return new BlockError(errno);
  };
  try {
    countEntries(header, how.repair);
  } catch (error) {
    throw reported(error, (message) => message.toLowerCase());
  }
  try {
    return await readSnapshotTable(file, header, how.repair);
  } catch (error) {
    throw reported(error, (message) => `failed to read the snapshot table: ${message}`);
  }
}

/** Entries that lack what version 3 promises. */
function findIncomplete(snapshots: readonly Snapshot[], version: number): number[] {
  if (version < 3) return [];
  return snapshots.flatMap(({ extra }, index) => (extra.length < minExtraBytesV3 ? [index] : []));
}

async function writeNewTable(
  file: ImageFile,
  header: Qcow2Header,
  snapshots: readonly Snapshot[],
): Promise<TableRange> {
  const content = serializeSnapshotTable(snapshots);
  const offset = roundUp(file.length, header.clusterSize);
  if (content.length === 0) return { offset, bytes: 0 };
  await file.write(offset, padded(content, header.clusterSize));
  await file.flush();
  return { offset, bytes: content.length };
}

/** The L1 tables of all snapshots, each distinct one once. */
function groupL1Tables(
  snapshots: readonly Snapshot[],
  clusterSize: number,
): { tables: { offset: number; entries: number; weight: number }[]; problems: string[] } {
  const tables = new Map<string, { offset: number; entries: number; weight: number }>();
  const problems: string[] = [];
  for (const { id, name, l1TableOffset, l1Size } of snapshots) {
    const who = `ERROR snapshot ${id} (${name})`;
    if (l1TableOffset % BigInt(clusterSize) !== 0n) {
      const offset = `l1_offset=0x${l1TableOffset.toString(16)}`;
      problems.push(`${who} ${offset}: L1 table is not cluster aligned; snapshot table entry corrupted`);
    } else if (l1Size > maxL1Entries) {
      problems.push(
        `${who} l1_size=0x${l1Size.toString(16)}: L1 table is too large; snapshot table entry corrupted`,
      );
    } else {
      const key = `${l1TableOffset}:${l1Size}`;
      const known = tables.get(key);
      if (known) known.weight++;
      else tables.set(key, { offset: Number(l1TableOffset), entries: l1Size, weight: 1 });
    }
  }
  return { tables: [...tables.values()], problems };
}
