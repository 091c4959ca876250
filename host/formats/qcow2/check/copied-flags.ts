/**
 * COPIED flags of the active tree against the refcounts (specification: qcow2, sections 3.3 and 10.3): set exactly where
 * the refcount is 1. The core's counts must be the refcounts on disk by now, not the references.
 *
 * A flag that is set although a cluster is shared destroys data on the next write; one that is clear only costs a copy.
 */
import { viewOf } from '../../../base/view-of.ts';
import { copiedFlag, entryOffset, readRefcount, refcountOffset } from '../disk/entry.ts';
import { l2Entries, refcountBlockEntries } from '../disk/header.ts';
import { bufferBytes } from './check-core.ts';
import type { CheckedImage } from './checked-image.ts';

/** Checks all active L2 tables (`l2Clusters`, distinct and ascending), then the L1 table; repairs as the options allow. */
export async function checkCopied(image: CheckedImage, l2Clusters: Uint32Array): Promise<void> {
  const { header, core, report, options } = image;
  const { result } = report;
  const clean = result.corruptions + result.leaks + result.checkErrors === 0;
  const fix = options.fix.errors || (options.fix.leaks && clean);
  report.fixing = fix;
  await image.forEachTable(l2Clusters, 'L2 table', async (at) => {
    core.checkCopiedL2(at, l2Entries(header), fix);
    const tableChanged = core.tableChanged;
    return (await resolveUnknown(image, at, fix)) || tableChanged;
  });
  if (fix) await image.file.flush();
  let changed = false;
  for (let first = 0; first < header.l1Size; first += bufferBytes / 8) {
    const entries = Math.min(bufferBytes / 8, header.l1Size - first);
    const offset = header.l1TableOffset + first * 8;
    if (offset >= image.file.length || !(await image.load(offset, entries * 8, 'L1 table'))) break;
    core.checkCopiedL1(entries, first, fix);
    const tableChanged = core.tableChanged;
    if (!(await resolveUnknown(image, -first * 8, fix)) && !tableChanged) continue;
    await image.store(offset, entries * 8);
    changed = true;
  }
  if (changed) await image.file.flush();
  report.fixing = false;
}

/**
 * Entries that point behind the file, whose refcount the counts do not tell. `at` is where entry 0 of their table would
 * be in the buffer. True when it changed the table.
 */
async function resolveUnknown(image: CheckedImage, at: number, fix: boolean): Promise<boolean> {
  let changed = false;
  const view = viewOf(image.core.buffer);
  for (const { code, times, a, b } of image.report.unknownCopied.splice(0)) {
    const refcount = await loadRefcount(image, entryOffset(a) / image.header.clusterSize);
    const copied = (a & copiedFlag) !== 0n;
    if ((refcount === 1n) === copied) continue;
    const isL2 = code === 'copied-l2-unknown';
    const index = isL2 ? b >> 32n : b;
    const known = isL2 ? b | (refcount & 0xffffffffn) : refcount;
    image.report.take({ code: isL2 ? 'copied-l2' : 'copied-data', times, a, b: known }, 0);
    if (!fix) continue;
    view.setBigUint64(at + Number(index) * 8, a ^ copiedFlag);
    changed = true;
  }
  return changed;
}

/** The refcount of any cluster, straight from the file. */
async function loadRefcount({ header, blocks, file }: CheckedImage, cluster: number): Promise<bigint> {
  const entries = refcountBlockEntries(header);
  const block = blocks[Math.floor(cluster / entries)];
  if (block === undefined || block.unreadable) return 0n;
  const index = Math.floor(cluster) % entries;
  const bytes = new Uint8Array(8);
  await file.read(block.offset + refcountOffset(index, header.refcountOrder), bytes);
  return readRefcount(viewOf(bytes), index, header.refcountOrder);
}
