/** The unit in which remote files are fetched and kept, in stores of the platform too: changing it makes them useless. */

/** Bytes; the last chunk of a file may be shorter. */
export const webChunkBytes = 65_536;
