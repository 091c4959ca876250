/**
 * COPIED flags of the active tree against the refcounts (specification: qcow2, sections 3.3 and 10.3): set exactly where
 * the refcount is 1. The core's counts must be the refcounts on disk by now, not the references.
 *
 * A flag that is set although a cluster is shared destroys data on the next write; one that is clear only costs a copy.
 */

import { l2Entries, refcountBlockEntries } from '../disk/header.ts';
import { viewOf } from '../disk/image-file.ts';
import type { Checker } from './check.ts';
import { bufferBytes } from './check-core.ts';
import { describeFinding } from './findings.ts';

/** Checks all active L2 tables (`l2Clusters`, distinct and ascending), then the L1 table; repairs as the options allow. */
export async function checkCopied(checker: Checker, l2Clusters: Uint32Array): Promise<void> {
  const { header, core, result, options } = checker;
  const clean = result.corruptions + result.leaks + result.checkErrors === 0;
  const fix = options.fix.errors || (options.fix.leaks && clean);
  checker.fixing = fix;
  await checker.forEachTable(l2Clusters, 'L2 table', async (at) => {
    core.checkCopiedL2(at, l2Entries(header), fix);
    const tableChanged = core.tableChanged;
    return (await resolveUnknown(checker, at, fix)) || tableChanged;
  });
  if (fix) await checker.file.flush();
  let changed = false;
  for (let first = 0; first < header.l1Size; first += bufferBytes / 8) {
    const entries = Math.min(bufferBytes / 8, header.l1Size - first);
    const offset = header.l1TableOffset + first * 8;
    if (offset >= checker.file.length || !(await checker.load(offset, entries * 8, 'L1 table'))) break;
    core.checkCopiedL1(entries, first, fix);
    const tableChanged = core.tableChanged;
    if (!(await resolveUnknown(checker, -first * 8, fix)) && !tableChanged) continue;
    await checker.store(offset, entries * 8);
    changed = true;
  }
  if (changed) await checker.file.flush();
  checker.fixing = false;
}

/**
 * Entries that point behind the file, whose refcount the counts do not tell. `at` is where entry 0 of their table would
 * be in the buffer. True when it changed the table.
 */
async function resolveUnknown(checker: Checker, at: number, fix: boolean): Promise<boolean> {
  let changed = false;
  const view = viewOf(checker.core.buffer);
  for (const { code, times, a, b } of checker.unknownCopied.splice(0)) {
    const refcount = await readRefcount(
      checker,
      Number(a & 0x00fffffffffffe00n) / checker.header.clusterSize,
    );
    const copied = a >> 63n === 1n;
    if ((refcount === 1n) === copied) continue;
    if (fix) checker.result.corruptionsFixed++;
    else checker.result.corruptions++;
    const index = code === 'copied-l2-unknown' ? b >> 32n : b;
    const described = code === 'copied-l2-unknown' ? b | (refcount & 0xffffffffn) : refcount;
    checker.report(describeFinding({ code, times, a, b: described }, 0, fix));
    if (!fix) continue;
    view.setBigUint64(at + Number(index) * 8, a ^ (1n << 63n));
    changed = true;
  }
  return changed;
}

/** The refcount of any cluster, straight from the file. */
async function readRefcount({ header, blocks, file }: Checker, cluster: number): Promise<bigint> {
  const entries = refcountBlockEntries(header);
  const block = blocks[Math.floor(cluster / entries)];
  if (block === undefined || block.unreadable) return 0n;
  const bit = (Math.floor(cluster) % entries) * 2 ** header.refcountOrder;
  const bytes = new Uint8Array(8);
  await file.read(block.offset + Math.floor(bit / 8), bytes);
  const width = 1n << BigInt(header.refcountOrder);
  if (width < 8n) return (BigInt(bytes[0] ?? 0) >> BigInt(bit % 8)) & ((1n << width) - 1n);
  return viewOf(bytes).getBigUint64(0) >> (64n - width);
}
