/**
 * The consistency check of a qcow2 image, and what of it can be repaired in place (specification: qcow2, section 10).
 *
 *   0. Before a repair: clear autoclear bits that nobody here knows.
 *   1. Count every reference (references.ts).
 *   2. Compare with the refcount blocks, and repair those (refcounts.ts).
 *   3. COPIED flags of the active tree against the refcounts as they are then (copied-flags.ts).
 *   4. After a repair that leaves no error: clear the dirty bit, then the corrupt bit.
 *
 * Tables are streamed through the core and never all in memory; memory grows with the file's length only, up to a limit.
 * Findings are worded and counted as qemu-img check does. Differences, on purpose: tables that cannot be right
 * (unaligned, outside the file) are not walked; while any were not, nothing is freed; a refcount of 0 where a block
 * exists is set rather than everything rebuilt.
 *
 * Standard images only: no extended L2 entries and no external data file (ENOTSUP).
 */
import type { CheckOptions, CheckResult } from '../../../block/driver.ts';
import { incompatible } from '../disk/feature-bits.ts';
import { type Qcow2Header, readHeader, requireStandardImage } from '../disk/header.ts';
import { prepareForWriting, updateHeader } from '../disk/header-update.ts';
import type { ImageFile } from '../disk/image-file.ts';
import { CheckedImage } from './checked-image.ts';
import { checkCopied } from './copied-flags.ts';
import { rebuildRoom } from './rebuild.ts';
import { compareRefcounts, loadRefcounts, repairRefcounts } from './refcounts.ts';
import { countReferences } from './references.ts';
import { CheckReport } from './report.ts';
import { type CheckedSnapshots, loadSnapshotsForCheck } from './snapshot-repair.ts';

/**
 * Checks the image in `file`, and repairs it as `options.fix` says; `file` must then be writable, with nobody else
 * using the image. Rejects when the check cannot go on: bad header, unreadable snapshot table, repair impossible.
 */
export async function checkImage(file: ImageFile, options: CheckOptions): Promise<CheckResult> {
  const { fix } = options;
  const writable = fix.leaks || fix.errors;
  let header = await readHeader(file, { readOnly: !writable, check: true, noIo: false });
  requireStandardImage(header);
  // As whoever opens it for writing does.
  if (writable) header = await prepareForWriting(file, header);
  const snapshots = await loadSnapshotsForCheck(file, header, options);
  const result = newResult(header, snapshots);
  const report = new CheckReport(result, (line) => options.report(line), snapshots.isNewTable);
  const spare = fix.errors ? rebuildRoom(header, Math.ceil(file.length / header.clusterSize)) : 0;
  const image = new CheckedImage(file, header, options, report, spare);
  const { core } = image;

  const { activeL2, refcountBlocks } = await countReferences(image, snapshots);
  // The cluster behind the file is there only if something compressed ends in it.
  if (core.count(image.clusters - 1) === 0) image.clusters--;
  await compareRefcounts(image);
  result.imageEndOffset = (core.highestUsed + 1) * header.clusterSize;
  const areRefcounts = await repairRefcounts(image, refcountBlocks);
  await snapshots.publish(image);
  if (!areRefcounts) await loadRefcounts(image);
  result.corruptions += core.lostFindings;
  core.limit(image.clusters);
  await checkCopied(image, activeL2);
  Object.assign(result, core.statistics);
  if (writable && result.checkErrors === 0 && result.corruptions === 0) await markConsistent(file, header);
  return result;
}

function newResult(header: Qcow2Header, snapshots: CheckedSnapshots): CheckResult {
  return {
    checkErrors: 0,
    corruptions: snapshots.corruptions,
    leaks: 0,
    corruptionsFixed: snapshots.corruptionsFixed,
    leaksFixed: 0,
    imageEndOffset: 0,
    totalClusters: Math.ceil(header.size / header.clusterSize),
    allocatedClusters: 0,
    fragmentedClusters: 0,
    compressedClusters: 0,
  };
}

async function markConsistent(file: ImageFile, header: Qcow2Header): Promise<void> {
  await file.flush();
  for (const bit of [incompatible.dirty, incompatible.corrupt]) {
    if ((header.incompatibleFeatures & bit) !== 0n) await updateHeader(file, { clearIncompatible: bit });
  }
}
