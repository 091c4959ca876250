/**
 * What `img info` and `query-named-block-nodes` tell about a qcow2 image beyond its graph, in the members and the order
 * of QEMU's ImageInfoSpecificQCow2.
 *
 * Everything comes from values read when the image was opened: asking does no I/O.
 */
import type { DriverInfo } from '../../block/driver.ts';
import { describeSnapshot } from '../../block/snapshots.ts';
import { type BitmapEntry, bitmapFlag } from './disk/bitmap-directory.ts';
import { autoclear, compatible, incompatible } from './disk/feature-bits.ts';
import { CryptMethod, hasExtendedL2, type Qcow2Header, vmStateStart } from './disk/header.ts';
import type { Snapshot } from './disk/snapshot-table.ts';
import type { Encryption } from './live/encryption.ts';

interface ImageFacts {
  readonly header: Qcow2Header;
  readonly snapshots: readonly Snapshot[];
  /** Empty when the image has none or they could not be read. */
  readonly bitmaps: readonly BitmapEntry[];
  readonly encryption?: Pick<Encryption, 'describe'> | undefined;
}

export function describeImage({ header, snapshots, bitmaps, encryption }: ImageFacts): DriverInfo {
  const encrypt = encryption && { encrypt: encryption.describe() };
  const has = (bit: bigint) => (header.incompatibleFeatures & bit) !== 0n;
  return {
    clusterBytes: header.clusterSize,
    vmStateOffset: vmStateStart(header, header.size),
    isDirty: has(incompatible.dirty),
    encrypted: header.cryptMethod !== CryptMethod.none,
    formatSpecific: {
      type: 'qcow2',
      data: header.version === 2 ? describeV2(header, encrypt) : describeV3(header, bitmaps, encrypt),
    },
    ...(snapshots.length === 0 ? {} : { snapshots: snapshots.map(describeSnapshot) }),
  };
}

function describeV2(header: Qcow2Header, encrypt: object | undefined): object {
  return {
    compat: '0.10',
    'compression-type': header.compressionType,
    'refcount-bits': 2 ** header.refcountOrder,
    ...encrypt,
  };
}

function describeV3(
  header: Qcow2Header,
  bitmaps: readonly BitmapEntry[],
  encrypt: object | undefined,
): object {
  const usesDataFile = (header.incompatibleFeatures & incompatible.dataFile) !== 0n;
  return {
    compat: '1.1',
    'compression-type': header.compressionType,
    'lazy-refcounts': (header.compatibleFeatures & compatible.lazyRefcounts) !== 0n,
    ...(bitmaps.length === 0 ? {} : { bitmaps: bitmaps.map(describeBitmap) }),
    'refcount-bits': 2 ** header.refcountOrder,
    ...encrypt,
    ...(header.dataFile === undefined ? {} : { 'data-file': header.dataFile }),
    ...(usesDataFile ? { 'data-file-raw': (header.autoclearFeatures & autoclear.dataFileRaw) !== 0n } : {}),
    corrupt: (header.incompatibleFeatures & incompatible.corrupt) !== 0n,
    'extended-l2': hasExtendedL2(header),
  };
}

function describeBitmap(bitmap: BitmapEntry): object {
  const flags: string[] = [];
  if ((bitmap.flags & bitmapFlag.inUse) !== 0) flags.push('in-use');
  if ((bitmap.flags & bitmapFlag.auto) !== 0) flags.push('auto');
  return { flags, name: bitmap.name, granularity: bitmap.granularity };
}
