/**
 * What has to be so before an image can be of version 2, which knows no zero clusters, no snapshots of other sizes and
 * no compression but zlib (specification: qcow2, section 11.4).
 *
 * Zero clusters of the disk become data, or nothing where no backing file shows through. In the tables of snapshots only
 * the latter is done: an entry is changed where it is, and reads the same before and after. A snapshot for which that
 * is not enough prevents the change.
 */
import { BlockError } from '../../../base/errors.ts';
import { viewOf } from '../../../base/view-of.ts';
import { UnmapMode } from '../../../core/qcow2-abi.ts';
import { readL1 } from './cluster-tree.ts';
import type { Qcow2Driver } from './image.ts';

const compressedFlag = 1n << 62n;
const zeroFlag = 1n;
const offsetMask = 0x00ff_ffff_ffff_fe00n;
const minVmStateBytesOfV3 = 2n ** 32n;

/** Errors: ENOTSUP, what prevents it when the disk is to be `size` bytes long. */
export async function checkDowngrade(driver: Qcow2Driver, size: number): Promise<void> {
  const snapshots = driver.snapshots.list();
  if (
    snapshots.some(
      ({ diskSize, vmStateBytes }) => diskSize !== BigInt(size) || vmStateBytes >= minVmStateBytesOfV3,
    )
  ) {
    throw new BlockError('ENOTSUP', 'Internal snapshots prevent downgrade of image');
  }
  const kept = await lookAtSnapshots(driver);
  if (kept.needsData) {
    throw new BlockError('ENOTSUP', 'Zero clusters in internal snapshots prevent downgrade of image');
  }
  if (driver.engine.header.compressionType === 'zlib') return;
  if (kept.isCompressed || (await isCompressed(driver))) {
    throw new BlockError(
      'ENOTSUP',
      'Cannot downgrade an image with zstd compression type and existing compressed clusters',
    );
  }
}

async function isCompressed(driver: Qcow2Driver): Promise<boolean> {
  const { size } = driver.engine.header;
  for (let offset = 0; offset < size; ) {
    const { type, bytes } = await driver.map(offset, size - offset);
    if (type === 'special') return true;
    offset += bytes;
  }
  return false;
}

interface SnapshotClusters {
  isCompressed: boolean;
  /** There are zero clusters that cannot just be left out. */
  needsData: boolean;
  /** Entries that can. */
  entries: number[];
}

/** Offsets in the file of entries of L2 tables. The image is settled. */
async function lookAtSnapshots(driver: Qcow2Driver): Promise<SnapshotClusters> {
  const { engine, backing } = driver;
  const { clusterSize } = engine.header;
  const found: SnapshotClusters = { isCompressed: false, needsData: false, entries: [] };
  const seen = new Set<number>();
  for (const { l1TableOffset, l1Size } of driver.snapshots.table.snapshots) {
    const l1 = await readL1(engine, Number(l1TableOffset), l1Size);
    for (const offset of l1.tables(clusterSize)) {
      if (seen.has(offset)) continue;
      seen.add(offset);
      const table = new Uint8Array(clusterSize);
      await engine.file.read(offset, table);
      const view = viewOf(table);
      for (let at = 0; at < clusterSize; at += 8) {
        const entry = view.getBigUint64(at);
        if ((entry & compressedFlag) !== 0n) found.isCompressed = true;
        else if ((entry & zeroFlag) !== 0n) {
          if (backing !== undefined || (entry & offsetMask) !== 0n) found.needsData = true;
          else found.entries.push(offset + at);
        }
      }
    }
  }
  return found;
}

/** After `checkDowngrade`. The image must be loaded anew afterwards. `report`: how much of the disk is done, from 0 to 1. */
export async function removeZeroClusters(driver: Qcow2Driver, report: (done: number) => void): Promise<void> {
  await writeOutZeros(driver, report);
  const { engine } = driver;
  await engine.settle();
  const { entries } = await lookAtSnapshots(driver);
  for (const offset of entries) await engine.file.write(offset, new Uint8Array(8));
  await engine.file.flush();
}

async function writeOutZeros(driver: Qcow2Driver, report: (done: number) => void): Promise<void> {
  const { size, clusterSize } = driver.engine.header;
  const zeros = new Uint8Array(clusterSize);
  for (let offset = 0; offset < size; ) {
    const extent = await driver.map(offset, size - offset);
    if (extent.type === 'zero') await replace(offset, extent.bytes, extent.child !== undefined);
    offset += extent.bytes;
    report(offset / size);
  }

  /** An extent begins at a cluster, and ends at one or with the disk. */
  async function replace(offset: number, bytes: number, hasSpace: boolean): Promise<void> {
    if (driver.backing === undefined && !hasSpace) {
      await driver.unmap(offset / clusterSize, Math.ceil((offset + bytes) / clusterSize), UnmapMode.full);
      return;
    }
    for (let done = 0; done < bytes; done += clusterSize) {
      await driver.context.self.write(offset + done, zeros.subarray(0, Math.min(clusterSize, bytes - done)));
    }
  }
}
