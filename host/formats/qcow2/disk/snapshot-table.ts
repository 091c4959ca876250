/**
 * The snapshot table: reading and validation (specification: qcow2, section 5.1).
 *
 *   0 L1 offset   8 L1 size   12 id length   14 name length   16 date seconds   20 nanoseconds
 *  24 VM clock ns   32 VM state size, 32 bit   36 extra data size   40 extra data, id, name, padding to 8
 *  extra data: 0 VM state size, 64 bit   8 disk size   16 icount
 *
 * The table is read in pieces and never takes more memory than its limit. A snapshot's own tables are not looked at:
 * listing works when they are damaged. Making, applying and deleting snapshots is in live/internal-snapshots.ts.
 */
import { BlockError, invalid } from '../../../base/errors.ts';
import { roundUp } from '../../../base/sectors.ts';
import { decodeCString } from '../../../base/text.ts';
import { viewOf } from '../../../base/view-of.ts';
import type { InternalSnapshot } from '../../../block/snapshot-storage.ts';
import { maxSnapshots, type Qcow2Header, validateSnapshotPointer } from './header.ts';
import type { ReadableImageFile } from './image-file.ts';

export const maxSnapshotExtraBytes = 1024;
export const maxSnapshotTableBytes = 1024 * 65536;
const fixedBytes = 40;
/** Version 3 promises this much extra data: 64-bit VM state size and disk size. */
export const minExtraBytesV3 = 16;
/** What QEMU writes: icount too. */
const knownExtraBytes = 24;
const readBytes = 64 * 1024;

export interface Snapshot extends InternalSnapshot {
  readonly idBytes: Uint8Array;
  readonly nameBytes: Uint8Array;
  /** As stored; validated where it is used. */
  readonly l1TableOffset: bigint;
  readonly l1Size: number;
  /** All extra data, unknown parts included. */
  readonly extra: Uint8Array;
}

export interface SnapshotTable {
  readonly snapshots: readonly Snapshot[];
  /** Bytes that the table takes in the file. */
  readonly bytes: number;
}

/** What `check -r all` may drop to make an oversized table readable. */
export interface SnapshotTableRepair {
  /** Entries lost because the table or the snapshot count is over its limit. */
  droppedSnapshots: number;
  /** Entries whose extra data were cut to 1024 bytes. */
  truncatedEntries: number[];
}

/** A sequential reader with a small buffer over part of the file. */
class TableReader {
  private buffer = new Uint8Array(0);
  private bufferOffset = 0;

  constructor(
    private readonly file: ReadableImageFile,
    private readonly start: number,
  ) {}

  /** A copy of `length` bytes at `position` from the table's start. */
  async take(position: number, length: number): Promise<Uint8Array> {
    const inBuffer = position - this.bufferOffset;
    if (inBuffer < 0 || inBuffer + length > this.buffer.length) {
      this.buffer = new Uint8Array(Math.max(readBytes, length));
      this.bufferOffset = position;
      await this.file.read(this.start + position, this.buffer);
    }
    return this.buffer.slice(position - this.bufferOffset, position - this.bufferOffset + length);
  }
}

/** How many entries the table has to be read for. Errors: the pointer to it is of no use (EFBIG, EINVAL). */
export function countEntries(
  {
    snapshotCount,
    snapshotsOffset,
    clusterSize,
  }: Pick<Qcow2Header, 'snapshotCount' | 'snapshotsOffset' | 'clusterSize'>,
  repair?: SnapshotTableRepair,
): number {
  const count = repair ? Math.min(snapshotCount, maxSnapshots) : snapshotCount;
  validateSnapshotPointer(count, snapshotsOffset, clusterSize);
  return count;
}

/**
 * Reads the table. Errors: EFBIG when it is over a limit and `repair` is not given; EINVAL for a bad pointer. With
 * `repair`, what is over the limits is left out and recorded there.
 */
export async function readSnapshotTable(
  file: ReadableImageFile,
  header: Pick<Qcow2Header, 'snapshotCount' | 'snapshotsOffset' | 'clusterSize' | 'size'>,
  repair?: SnapshotTableRepair,
): Promise<SnapshotTable> {
  const { snapshotCount, snapshotsOffset } = header;
  const snapshots: Snapshot[] = [];
  const count = countEntries(header, repair);
  if (count === 0) return { snapshots, bytes: 0 };
  if (repair) repair.droppedSnapshots = snapshotCount - count;
  const reader = new TableReader(file, snapshotsOffset);
  let position = 0;
  let keptBytes = 0;
  for (let index = 0; index < count; index++) {
    position = roundUp(position, 8);
    const fixed = viewOf(await reader.take(position, fixedBytes));
    const idLength = fixed.getUint16(12);
    const nameLength = fixed.getUint16(14);
    const extraLength = fixed.getUint32(36);
    if (extraLength > maxSnapshotExtraBytes && repair === undefined) {
      throw new BlockError('EFBIG', `Too much extra metadata in snapshot table entry ${index}`, {
        hint: 'You can force-remove this extra metadata with qemu-img check -r all',
      });
    }
    const kept = Math.min(extraLength, maxSnapshotExtraBytes);
    if (repair && kept < extraLength) repair.truncatedEntries.push(index);
    const end = position + fixedBytes + extraLength + idLength + nameLength;
    keptBytes = roundUp(keptBytes, 8) + fixedBytes + kept + idLength + nameLength;
    if (keptBytes > maxSnapshotTableBytes || (repair === undefined && end > maxSnapshotTableBytes)) {
      if (repair === undefined) {
        throw new BlockError('EFBIG', 'Snapshot table is too big', {
          hint: `You can force-remove all ${snapshotCount - index} overhanging snapshots with qemu-img check -r all`,
        });
      }
      repair.droppedSnapshots += count - index;
      return { snapshots, bytes: position };
    }
    const extra = await reader.take(position + fixedBytes, kept);
    const names = await reader.take(position + fixedBytes + extraLength, idLength + nameLength);
    snapshots.push(parseSnapshot(fixed, extra, names, header.size));
    position = end;
  }
  return { snapshots, bytes: position };
}

function parseSnapshot(fixed: DataView, extra: Uint8Array, names: Uint8Array, currentSize: number): Snapshot {
  const view = viewOf(extra);
  const idLength = fixed.getUint16(12);
  const idBytes = names.slice(0, idLength);
  const nameBytes = names.slice(idLength);
  const icount = extra.length >= 24 ? view.getBigUint64(16) : 2n ** 64n - 1n;
  return {
    id: decodeCString(idBytes),
    name: decodeCString(nameBytes),
    idBytes,
    nameBytes,
    l1TableOffset: fixed.getBigUint64(0),
    l1Size: fixed.getUint32(8),
    dateSeconds: fixed.getUint32(16),
    dateNanoseconds: fixed.getUint32(20),
    vmClockNs: fixed.getBigUint64(24),
    vmStateBytes: extra.length >= 8 ? view.getBigUint64(0) : BigInt(fixed.getUint32(32)),
    diskSize: extra.length >= 16 ? view.getBigUint64(8) : BigInt(currentSize),
    icount: icount === 2n ** 64n - 1n ? undefined : icount,
    extra,
  };
}

/** The table as QEMU writes it: at least 24 bytes of extra data per entry, the last entry not padded. */
export function serializeSnapshotTable(snapshots: readonly Snapshot[]): Uint8Array {
  const entryBytes = (snapshot: Snapshot) =>
    fixedBytes +
    Math.max(knownExtraBytes, snapshot.extra.length) +
    snapshot.idBytes.length +
    snapshot.nameBytes.length;
  let length = 0;
  for (const snapshot of snapshots) length = roundUp(length, 8) + entryBytes(snapshot);
  const bytes = new Uint8Array(length);
  const view = viewOf(bytes);
  let at = 0;
  for (const snapshot of snapshots) {
    at = roundUp(at, 8);
    const extraLength = Math.max(knownExtraBytes, snapshot.extra.length);
    view.setBigUint64(at, snapshot.l1TableOffset);
    view.setUint32(at + 8, snapshot.l1Size);
    view.setUint16(at + 12, snapshot.idBytes.length);
    view.setUint16(at + 14, snapshot.nameBytes.length);
    view.setUint32(at + 16, snapshot.dateSeconds);
    view.setUint32(at + 20, snapshot.dateNanoseconds);
    view.setBigUint64(at + 24, snapshot.vmClockNs);
    view.setUint32(at + 32, snapshot.vmStateBytes < 2n ** 32n ? Number(snapshot.vmStateBytes) : 0);
    view.setUint32(at + 36, extraLength);
    bytes.set(snapshot.extra, at + fixedBytes);
    view.setBigUint64(at + 40, snapshot.vmStateBytes);
    view.setBigUint64(at + 48, snapshot.diskSize);
    view.setBigUint64(at + 56, snapshot.icount ?? 2n ** 64n - 1n);
    bytes.set(snapshot.idBytes, at + fixedBytes + extraLength);
    bytes.set(snapshot.nameBytes, at + fixedBytes + extraLength + snapshot.idBytes.length);
    at += entryBytes(snapshot);
  }
  return bytes;
}

/** Where a snapshot's L1 table is, for those who walk it. EINVAL or EFBIG (section 13, item 15). */
export function snapshotL1(snapshot: Snapshot, clusterSize: number, maxL1Entries: number): number {
  if (snapshot.l1TableOffset % BigInt(clusterSize) !== 0n) throw invalid('Snapshot L1 table offset invalid');
  if (snapshot.l1Size > maxL1Entries) throw new BlockError('EFBIG', 'Snapshot L1 table too large');
  if (snapshot.l1TableOffset > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new BlockError('EFBIG', 'Snapshot L1 table offset invalid');
  }
  return Number(snapshot.l1TableOffset);
}
