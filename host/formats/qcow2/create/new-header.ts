/**
 * The header of a new image, as `qemu-img create` writes it: the extensions are the backing format, where the LUKS header is,
 * and the names of feature bits (specification: qcow2, sections 1.1, 1.5 and 1.8).
 */
import { extensionType, type HeaderExtension, serializeEncryptionExtension } from '../disk/extensions.ts';
import { compatible, featureNameTable, hasFeatureNames, incompatible } from '../disk/feature-bits.ts';
import {
  type CompressionType,
  CryptMethod,
  headerBytesV2,
  headerBytesV3,
  serializeHeader,
} from '../disk/header.ts';
import type { ImageLayout } from './layout.ts';

/** What a header says beside where the tables are. */
interface NewImage {
  readonly version: 2 | 3;
  /** Bytes, a multiple of 512. */
  readonly size: number;
  readonly lazyRefcounts: boolean;
  readonly compressionType: CompressionType;
  readonly backingFormat: string | undefined;
  /** Bytes as they will be in the file. */
  readonly backingFileName: Uint8Array | undefined;
}

/** Where the tables are, and how large. */
type TablePlaces = Pick<
  ImageLayout,
  | 'clusterSize'
  | 'refcountOrder'
  | 'l1Entries'
  | 'l1TableOffset'
  | 'refcountTableOffset'
  | 'refcountTableClusters'
  | 'encryptionBytes'
  | 'encryptionOffset'
>;

/** From byte 0 to the end of the backing file's name. ENOSPC when that does not fit in cluster 0. */
export function serializeNewHeader(image: NewImage, layout: TablePlaces): Uint8Array {
  const { version, backingFormat } = image;
  const { clusterSize } = layout;
  const extensions: HeaderExtension[] = [];
  if (backingFormat !== undefined) {
    extensions.push({ type: extensionType.backingFormat, data: new TextEncoder().encode(backingFormat) });
  }
  const { encryptionOffset, encryptionBytes = 0 } = layout;
  if (encryptionOffset > 0) {
    const data = serializeEncryptionExtension({ offset: encryptionOffset, bytes: encryptionBytes });
    extensions.push({ type: extensionType.encryption, data });
  }
  if (version === 3 && hasFeatureNames(layout)) {
    extensions.push({ type: extensionType.featureNames, data: featureNameTable() });
  }
  return serializeHeader({
    version,
    clusterBits: Math.log2(clusterSize),
    clusterSize,
    size: image.size,
    cryptMethod: encryptionOffset > 0 ? CryptMethod.luks : CryptMethod.none,
    l1Size: layout.l1Entries,
    l1TableOffset: layout.l1TableOffset,
    refcountTableOffset: layout.refcountTableOffset,
    refcountTableClusters: layout.refcountTableClusters,
    snapshotCount: 0,
    snapshotsOffset: 0,
    incompatibleFeatures: image.compressionType === 'zlib' ? 0n : incompatible.compressionType,
    compatibleFeatures: image.lazyRefcounts ? compatible.lazyRefcounts : 0n,
    autoclearFeatures: 0n,
    refcountOrder: layout.refcountOrder,
    compressionType: image.compressionType,
    headerLength: version === 2 ? headerBytesV2 : headerBytesV3,
    unknownFields: new Uint8Array(),
    extensions,
    backingFileName: image.backingFileName,
    backingFileOffset: 0,
  });
}
