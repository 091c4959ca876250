/**
 * The refcounts of an image against the references that were counted, and what of them is put right (specification:
 * qcow2, sections 10.3 and 10.4): single refcounts are rewritten where they are; where blocks are damaged or missing,
 * everything is made anew (rebuild.ts).
 *
 * While parts of the image could not be walked nothing is freed, because what looks leaked may belong to them.
 */
import { BlockError } from '../../../base/errors.ts';
import type { CheckedImage } from './checked-image.ts';
import { rebuildRefcounts } from './rebuild.ts';

/** Bits of `fix` as the core's comparison takes them. */
const fixLeaks = 1;
const fixErrors = 2;

/** Compares only; a repair comes later. */
export async function compareRefcounts(image: CheckedImage): Promise<void> {
  await compare(image, 0);
  const { compared, result } = image.report;
  result.leaks = compared.leaks;
  result.corruptions += compared.tooLow + compared.structure;
}

/**
 * Puts right what the options allow of what the comparison has found. True when the core's counts, which are references,
 * are the refcounts as well now; else `loadRefcounts` makes them so. EIO when a repair that may not rebuild would have to.
 */
export async function repairRefcounts(
  image: CheckedImage,
  refcountBlocks: readonly number[],
): Promise<boolean> {
  const { options, report } = image;
  const { result, compared } = report;
  const { leaks, tooLow, structure } = compared;
  const anything = leaks + tooLow + structure + result.checkErrors > 0;
  if (image.needsRebuild && options.fix.errors) {
    report.write('Rebuilding refcount structure');
    await rebuildRefcounts(image, refcountBlocks);
    result.corruptionsFixed += tooLow + structure;
    result.corruptions -= tooLow + structure;
    result.leaksFixed += leaks;
    result.leaks = 0;
    result.checkErrors = 0;
    return true;
  }
  if (image.needsRebuild && options.fix.leaks) {
    report.write('ERROR need to rebuild refcount structures');
    throw new BlockError('EIO');
  }
  const fix = allowedFixes(image);
  if (anything && fix !== 0) {
    await compare(image, fix);
    await image.file.flush();
    result.leaksFixed += compared.leaksFixed;
    result.leaks -= compared.leaksFixed;
    result.corruptionsFixed += compared.tooLowFixed;
    result.corruptions -= compared.tooLowFixed;
  }
  return !anything;
}

/** Turns the counts from references into refcounts. */
export async function loadRefcounts(image: CheckedImage): Promise<void> {
  await image.forEachBlock(async (block, first, entries) => {
    if (block?.unreadable) return;
    if (block !== undefined) await image.loadBlock(block);
    image.core.load(block !== undefined, first, entries);
  });
}

/** Gives a structure's clusters back that was counted, when nothing refers to it any more. Says nothing. */
export async function freeStructure(image: CheckedImage, offset: number, bytes: number): Promise<void> {
  const { clusterSize } = image.header;
  for (let at = offset; at < offset + bytes; at += clusterSize) image.core.dropReference(at / clusterSize);
  await image.report.silently(() => compare(image, allowedFixes(image)));
  await image.file.flush();
}

function allowedFixes({ options: { fix }, incomplete, report }: CheckedImage): number {
  let allowed = 0;
  if (fix.errors) allowed |= fixErrors;
  if (fix.leaks) {
    if (!incomplete) allowed |= fixLeaks;
    else if (report.compared.leaks > 0) {
      report.write('Leaked clusters are not freed, because parts of the image could not be examined');
    }
  }
  return allowed;
}

async function compare(image: CheckedImage, fix: number): Promise<void> {
  const { core } = image;
  await image.forEachBlock(async (block, first, entries) => {
    const present = block !== undefined;
    if (present && (block.unreadable || !(await image.loadBlock(block)))) {
      reportUnreadable(image, first, entries);
      return;
    }
    core.compare(present, first, entries, fix);
    if (present && core.tableChanged) await image.store(block.offset, image.header.clusterSize);
    if (!present && core.nextCounted(first) >= 0) {
      image.needsRebuild ||= core.nextCounted(first) < first + entries;
    }
  });
}

function reportUnreadable({ report }: CheckedImage, first: number, entries: number): void {
  report.result.checkErrors += entries;
  for (let cluster = first; cluster < first + entries; cluster++) {
    if (report.isFull) return;
    report.write(`Can't get refcount for cluster ${cluster}: Input/output error`);
  }
}
