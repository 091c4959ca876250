/** The check of a VDI image (specification: vdi, section 3): entries of the block map, and how many the header says there are. */
import { BlockError } from '../../base/errors.ts';
import type { CheckOptions, CheckResult } from '../../block/driver.ts';
import type { VdiBlocks } from './blocks.ts';

/** Errors: ENOTSUP, a repair is asked for. */
export function checkBlocks(blocks: VdiBlocks, { fix, report }: CheckOptions): CheckResult {
  if (fix.leaks || fix.errors) throw new BlockError('ENOTSUP');
  const { table, header } = blocks;
  const isUsed = new Uint8Array(table.length);
  let [allocated, corruptions] = [0, 0];
  const wrong = (what: string): void => {
    corruptions++;
    report(`ERROR: ${what}`);
  };
  for (let block = 0; block < table.length; block++) {
    if (!blocks.isStored(block)) continue;
    const entry = table.get(block);
    if (entry >= table.length) {
      wrong(`block index ${block} too large, is ${entry}`);
      continue;
    }
    allocated++;
    if (isUsed[entry] === 1) wrong(`block index ${entry} also used by ${entry}`);
    isUsed[entry] = 1;
  }
  if (allocated !== header.allocated)
    wrong(`allocated blocks mismatch, is ${allocated}, should be ${header.allocated}`);
  return {
    checkErrors: 0,
    corruptions,
    leaks: 0,
    corruptionsFixed: 0,
    leaksFixed: 0,
    imageEndOffset: 0,
    totalClusters: 0,
    allocatedClusters: 0,
    fragmentedClusters: 0,
    compressedClusters: 0,
  };
}
