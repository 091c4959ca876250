/**
 * Where metadata is that the core does not hold itself, so that no write overwrites it (specification: qcow2, section
 * 10.6): the snapshot table, the bitmap directory, and the L1 and L2 tables of snapshots. The check itself is in the core
 * (assembly/qcow2/overlap-check.ts).
 *
 * L2 tables of snapshots are named by L1 tables that are only on disk. These are read when the image is opened for writing
 * and whenever the snapshots change, and only if that class is looked for.
 */
import { BlockError } from '../../../base/errors.ts';
import { viewOf } from '../../../base/view-of.ts';
import type { Qcow2Core } from '../../../core/qcow2.ts';
import { MetadataClass } from '../../../core/qcow2-abi.ts';
import { entryOffset } from '../disk/entry.ts';
import { autoclear } from '../disk/feature-bits.ts';
import { maxL1Entries, type Qcow2Header } from '../disk/header.ts';
import { type Snapshot, type SnapshotTable, snapshotL1 } from '../disk/snapshot-table.ts';
import type { StepRunner } from './steps.ts';

/** Of L1 tables of snapshots that are read; many more than disks in use have. */
const maxInactiveL1Bytes = 1 << 30;

/** Tells the core what the header says of it: where the bitmap directory is. */
export function protectHeaderRanges(core: Qcow2Core, { bitmaps, autoclearFeatures }: Qcow2Header): void {
  const known = bitmaps !== undefined && (autoclearFeatures & autoclear.bitmaps) !== 0n;
  core.setBitmapDirectory(known ? bitmaps.directoryOffset : 0, known ? bitmaps.directoryBytes : 0);
}

type Image = Pick<StepRunner, 'core' | 'file' | 'header' | 'options'>;

/** Where the tables of all snapshots are. */
export interface SnapshotRanges {
  readonly table: { readonly offset: number; readonly bytes: number };
  /** Starts and ends in turn, ascending and disjoint. */
  readonly l1: Float64Array;
  readonly l2: Float64Array;
}

/**
 * Finds the tables of the snapshots in `table`, which is at `tableOffset`. Reads L1 tables if the options ask for it. EINVAL
 * or EFBIG when one cannot be a table; EFBIG when there are too many L2 tables.
 */
export async function findSnapshotRanges(
  image: Image,
  table: SnapshotTable,
  tableOffset: number,
): Promise<SnapshotRanges> {
  const { snapshots } = table;
  const l1: [number, number][] = [];
  for (const { l1TableOffset, l1Size } of snapshots) {
    if (l1Size > 0) l1.push([Number(l1TableOffset), Number(l1TableOffset) + l1Size * 8]);
  }
  const wantsL2 = (image.options.overlapMask & MetadataClass.inactiveL2) !== 0;
  return {
    table: { offset: tableOffset, bytes: snapshots.length > 0 ? table.bytes : 0 },
    l1: merged(l1),
    l2: wantsL2 ? await findInactiveL2(image, snapshots) : new Float64Array(),
  };
}

/** From now on, these are the tables of the snapshots. */
export function protectSnapshots(core: Qcow2Core, { table, l1, l2 }: SnapshotRanges): void {
  core.setSnapshotTable(table.offset, table.bytes);
  core.setInactiveL1(l1);
  core.setInactiveL2(l2);
}

async function findInactiveL2(image: Image, snapshots: readonly Snapshot[]): Promise<Float64Array> {
  const { file, core } = image;
  const { clusterSize } = image.header;
  const starts = new Set<number>();
  let readBytes = 0;
  for (const snapshot of snapshots) {
    const offset = snapshotL1(snapshot, clusterSize, maxL1Entries);
    const bytes = new Uint8Array(snapshot.l1Size * 8);
    readBytes += bytes.length;
    if (readBytes > maxInactiveL1Bytes) throw tooMany();
    if (bytes.length > 0) await file.read(offset, bytes);
    const view = viewOf(bytes);
    for (let at = 0; at < bytes.length; at += 8) starts.add(entryOffset(view.getBigUint64(at)));
    starts.delete(0);
    if (starts.size > core.inactiveL2Ranges) throw tooMany();
  }
  return merged(Array.from(starts, (start) => [start, start + clusterSize]));
}

function tooMany(): BlockError {
  return new BlockError('EFBIG', "The snapshots have too many L2 tables for overlap check 'inactive-l2'");
}

/** Ranges in any order as starts and ends in turn, ascending and disjoint. */
function merged(ranges: [start: number, end: number][]): Float64Array {
  ranges.sort(([a], [b]) => a - b);
  const result: number[] = [];
  let end = -1;
  for (const range of ranges) {
    if (range[0] > end) {
      result.push(range[0], range[1]);
      end = range[1];
    } else if (range[1] > end) {
      end = range[1];
      result[result.length - 1] = end;
    }
  }
  return Float64Array.from(result);
}
