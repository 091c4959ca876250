/**
 * What is told of damage that an image in use was found to have, in QEMU's words (specification: qcow2, sections 10.6 and
 * 10.7). Loaded when there is some.
 */
import { Corruption, MetadataClass } from '../../../core/qcow2-abi.ts';
import type { FoundCorruption } from '../../../core/qcow2-results.ts';

type CorruptionKind = (typeof Corruption)[keyof typeof Corruption];

/** In QEMU's words. */
const metadataNames = new Map<number, string>([
  [MetadataClass.mainHeader, 'qcow2_header'],
  [MetadataClass.activeL1, 'active L1 table'],
  [MetadataClass.activeL2, 'active L2 table'],
  [MetadataClass.refcountTable, 'refcount table'],
  [MetadataClass.refcountBlock, 'refcount block'],
  [MetadataClass.snapshotTable, 'snapshot table'],
  [MetadataClass.inactiveL1, 'inactive L1 table'],
  [MetadataClass.inactiveL2, 'inactive L2 table'],
  [MetadataClass.bitmapDirectory, 'bitmap directory'],
]);

/** What a cluster was to be allocated for, by the numbers of assembly/qcow2/refcount.ts. */
const purposes = ['data cluster', 'L2 table', 'compressed cluster', 'refcount block', 'metadata'];

const hex = (offset: number): string => `0x${offset.toString(16)}`;
/** As C's `%#x`. */
const alternateHex = (value: number): string => (value === 0 ? '0' : hex(value));
const inL2 = ({ table, detail }: FoundCorruption): string =>
  `(L2 offset: ${alternateHex(table)}, L2 index: ${alternateHex(detail)})`;
const ofGuest = ({ guest }: FoundCorruption): string => `unaligned (guest offset: ${alternateHex(guest)})`;

const texts: Readonly<Record<CorruptionKind, (found: FoundCorruption) => string>> = {
  [Corruption.refcountBlock]: ({ offset, detail }) =>
    `Refblock offset ${alternateHex(offset)} unaligned (reftable index: ${alternateHex(detail)})`,
  [Corruption.l2Table]: ({ offset, detail }) =>
    `L2 table offset ${alternateHex(offset)} unaligned (L1 index: ${alternateHex(detail)})`,
  [Corruption.dataCluster]: (found) => `Data cluster offset ${alternateHex(found.offset)} ${ofGuest(found)}`,
  [Corruption.mapping]: (found) =>
    `Cluster allocation offset ${alternateHex(found.offset)} unaligned ${inL2(found)}`,
  [Corruption.overlap]: ({ detail }) =>
    `Preventing invalid write on metadata (overlaps with ${metadataNames.get(detail)})`,
  [Corruption.refcount]: ({ offset }) => `Refcount of the cluster at offset ${hex(offset)} is wrong`,
  [Corruption.zeroInVersion2]: (found) => `Zero cluster entry found in pre-v3 image ${inL2(found)}`,
  [Corruption.zeroCluster]: (found) =>
    `Preallocated zero cluster offset ${alternateHex(found.offset)} ${ofGuest(found)}`,
  [Corruption.allocation]: ({ detail }) => `Preventing invalid allocation of ${purposes[detail]} at offset 0`,
};

/** `found.kind` is one of `Corruption`. */
export function describeCorruption(found: FoundCorruption): string {
  return texts[found.kind as keyof typeof texts](found);
}
