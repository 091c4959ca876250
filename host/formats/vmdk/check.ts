/**
 * The check of an image: whether every grain, and every table, has a place of its own within the file (specification: vmdk,
 * section 6). It repairs nothing, and does not compare the copies of tables: a crash may leave the redundant one behind.
 */
import { BlockError } from '../../base/errors.ts';
import { roundUp, sectorBytes } from '../../base/sectors.ts';
import { viewOf } from '../../base/view-of.ts';
import type { CheckOptions, CheckResult, Driver } from '../../block/driver.ts';
import { Image } from './live/image.ts';
import { SparseExtent } from './live/sparse-extent.ts';

/** Findings that are told one by one. */
const maxReported = 100;

export async function checkImage(driver: Driver, options: CheckOptions): Promise<CheckResult> {
  if (!(driver instanceof Image)) throw new BlockError('ENOTSUP', 'The image is not open for checking');
  const { fix } = options;
  if (fix.leaks || fix.errors) throw new BlockError('ENOTSUP');
  const check = new Check(options);
  let start = 0;
  for (const extent of driver.extents) {
    if (extent instanceof SparseExtent) await check.extent(extent, start);
    start += extent.bytes;
  }
  return {
    ...{ checkErrors: 0, corruptions: check.corruptions, leaks: 0, corruptionsFixed: 0, leaksFixed: 0 },
    ...{
      imageEndOffset: 0,
      totalClusters: 0,
      allocatedClusters: 0,
      fragmentedClusters: 0,
      compressedClusters: 0,
    },
  };
}

class Check {
  corruptions = 0;

  constructor(private readonly options: CheckOptions) {}

  private find(what: string): void {
    this.corruptions++;
    if (this.corruptions <= maxReported) this.options.report(`ERROR: ${what}`);
    else if (this.corruptions === maxReported + 1)
      this.options.report('ERROR: further findings are not told');
  }

  /** `start`: of the extent on the disk. */
  async extent({ layout, tables, file }: SparseExtent, start: number): Promise<void> {
    const { tableEntries, grainBytes, directoryEntries, isCompressed, hasZeroedGrains } = layout;
    const fileBytes = roundUp(file.node.exactLength, sectorBytes);
    const places = new Places(fileBytes);
    const take = (what: string, offset: number, bytes: number): void => {
      if (!places.take(offset, bytes)) this.find(`${what} at ${offset} overlaps with another`);
    };
    take('header', 0, sectorBytes);
    const tableBytes = roundUp(tableEntries * 4, sectorBytes);
    for (const offset of [layout.directoryOffset, layout.redundantOffset])
      if (offset !== undefined) take('grain directory', offset, directoryEntries * 4);
    const table = new Uint8Array(tableEntries * 4);
    const view = viewOf(table);
    for (const { index, offset } of tables.places()) {
      if (offset + tableBytes > fileBytes) {
        this.find(`grain table at ${offset} points after EOF`);
        continue;
      }
      take('grain table', offset, tableBytes);
      await file.read(offset, table);
      for (let entry = 0; entry < tableEntries; entry++) {
        const sector = view.getUint32(entry * 4, true);
        if (sector === 0 || (sector === 1 && hasZeroedGrains)) continue;
        const at = sector * sectorBytes;
        const disk = start + (index * tableEntries + entry) * grainBytes;
        if (at >= fileBytes) this.find(`cluster offset for sector ${disk / sectorBytes} points after EOF`);
        // How much a compressed one takes is said in front of it; two at one place are found anyway.
        else take('grain', at, isCompressed ? sectorBytes : grainBytes);
      }
    }
  }
}

/** Which sectors of a file are taken: a bit for each, in pages that there are where any is. */
class Places {
  private readonly pages = new Map<number, Uint8Array>();

  constructor(private readonly fileBytes: number) {}

  /** False: somebody has a part of it. What is behind the end is nobody's. */
  take(offset: number, bytes: number): boolean {
    let isFree = true;
    const end = Math.min(offset + bytes, this.fileBytes) / sectorBytes;
    for (let sector = Math.floor(offset / sectorBytes); sector < end; sector++) {
      const inPage = sector % pageSectors;
      const page = this.page((sector - inPage) / pageSectors);
      const bit = 1 << (inPage & 7);
      const byte = page[inPage >>> 3] ?? 0;
      if ((byte & bit) !== 0) isFree = false;
      page[inPage >>> 3] = byte | bit;
    }
    return isFree;
  }

  private page(index: number): Uint8Array {
    let page = this.pages.get(index);
    if (!page) {
      page = new Uint8Array(pageSectors / 8);
      this.pages.set(index, page);
    }
    return page;
  }
}

const pageSectors = 4096;
