/**
 * Internal snapshots: states of a disk that its own image keeps, and the state of a virtual machine beside them.
 *
 * The contract between a format that has them and whoever wants them. Whoever changes something keeps the node drained
 * meanwhile: no guest request may be in flight (specification: qcow2, section 5).
 */

/** A snapshot as the image knows it. Ids are unique in sound images, names need not be. */
export interface InternalSnapshot {
  readonly id: string;
  readonly name: string;
  /** Seconds and nanoseconds since the epoch. */
  readonly dateSeconds: number;
  readonly dateNanoseconds: number;
  /** The guest's clock. */
  readonly vmClockNs: bigint;
  readonly vmStateBytes: bigint;
  /** Length of the disk then, in bytes. */
  readonly diskSize: bigint;
  readonly icount: bigint | undefined;
}

export interface NewSnapshot {
  /** At most 65535 bytes of UTF-8. */
  name: string;
  dateSeconds: number;
  dateNanoseconds: number;
  vmClockNs: bigint;
  /** What `saveVmState` wrote, from offset 0 on. */
  vmStateBytes: number;
  icount: bigint | undefined;
}

export interface SnapshotStorage {
  /** In the order of the image. Those below take the very objects: ENOENT for one that is gone. */
  list(): readonly InternalSnapshot[];
  /**
   * The disk as it is now, flushed or not, and the VM state saved before, which goes from the disk to the snapshot.
   * Durable when it returns; after EIO `list` tells whether it is there. Errors: EINVAL for counts that cannot grow or a name that is too long, EFBIG, EIO.
   */
  create(snapshot: NewSnapshot): Promise<InternalSnapshot>;
  /** Durable when it returns; when it fails on the way the snapshot may be gone and its space lost to a check. */
  delete(snapshot: InternalSnapshot): Promise<void>;
  /**
   * Makes the disk what it was, its length included. EBUSY while the image has dirty bitmaps. To be called through
   * `applySnapshot` (snapshots.ts), which makes the node know its length.
   */
  apply(snapshot: InternalSnapshot): Promise<void>;
  /** Shows the disk of a read-only node as it was, until the node is closed. EINVAL when it is writable. */
  view(snapshot: InternalSnapshot): Promise<void>;
  /** Writes VM state at `offset` bytes from its start, for the next `create`. */
  saveVmState(offset: number, data: Uint8Array): Promise<void>;
  /** Reads VM state of a snapshot, applied or not, or what the next one gets; zeros where nothing was saved. */
  loadVmState(snapshot: InternalSnapshot | undefined, offset: number, buffer: Uint8Array): Promise<void>;
}
