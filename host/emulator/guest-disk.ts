/**
 * A disk as the controller of an emulator wants it: any range, any time, and nothing that ever fails.
 *
 * Errors are the disk's own affair: by the policies of its drive (`rerror`, `werror`) a request is answered as if it had
 * gone well, or it waits while the machine stands and is tried again when that goes on. A promise from here never
 * rejects, and no call throws.
 */
export interface GuestDisk {
  /** A multiple of the sector size; at most 2 TiB. It changes when the disk is resized. */
  readonly byteLength: number;
  readonly isReadOnly: boolean;

  /**
   * Fills `into` with what all writes before have left. Nothing is returned when that has been done at once; a promise
   * otherwise. After an abort the promise settles soon, and what is in `into` then means nothing: it may still change.
   */
  read(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<void> | undefined;

  /** Keeps `data` as it is now; the caller may use the buffer again. Settles when the flush policy holds for it. */
  write(offset: number, data: Uint8Array): Promise<void>;

  /** Settles when nothing is in flight and everything written is durable. */
  flush(): Promise<void>;

  /** Names the content for a saved machine: a snapshot that the saver took, and how often the disk was written since. */
  getReference(): DiskReference;
  /** Says what the content is from now on: by whoever has just taken that snapshot, or gone back to it. */
  setReference(reference: DiskReference): void;
}

/** Which content of a disk a saved machine belongs to. */
export interface DiskReference {
  /** Empty: none, the disk as it is. */
  readonly snapshot: string;
  readonly generation: number;
}
