/** What a hostile repository can make us read, keep or compute at most (specification: store, section 11). */

/** Of one blob of a file, plain. restic's own are at most 8 MiB. */
export const maxDataBytes = 16 << 20;
/** Of one folder's or snapshot's description, plain. */
export const maxTreeBytes = 256 << 20;
/** Of one index file, plain. */
export const maxIndexBytes = 64 << 20;
/** Of any other document: config, snapshot, lock, key. */
export const maxDocumentBytes = 1 << 20;
/** Of the sealed table of a pack. */
export const maxPackHeaderBytes = 16 << 20;
/** Of a pack; restic lets people choose up to 128 MiB. */
export const maxPackBytes = 256 << 20;
/** How many key files a password is tried on. */
export const maxKeyFiles = 20;
/** Memory that a key file may have scrypt use. */
export const maxScryptBytes = 1 << 30;
/** How deep folders of a snapshot may be nested. */
export const maxTreeDepth = 32;
/** How many folders of a snapshot are looked into for disks. */
export const maxFolders = 100_000;
