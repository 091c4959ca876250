/** The part of the File System standard that only workers have, and TypeScript's types of a page leave out. */

export interface SyncAccessHandle {
  /** Bytes read: fewer than asked for only at the end of the file. */
  read(buffer: Uint8Array, options: { at: number }): number;
  /** Bytes written. */
  write(buffer: Uint8Array, options: { at: number }): number;
  getSize(): number;
  truncate(size: number): void;
  flush(): void;
  close(): void;
}

export interface OpfsFileHandle extends FileSystemFileHandle {
  /** Absent outside of dedicated workers. `mode` is ignored, as `readwrite`, by browsers that do not know it. */
  createSyncAccessHandle?(options: { mode: 'read-only' | 'readwrite' }): Promise<SyncAccessHandle>;
}
