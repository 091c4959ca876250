/**
 * How sectors of a disk are encrypted: each of 512 bytes by itself, by its number, so that any can be read and written alone.
 */

/** Encrypts and decrypts whole sectors, of which `sector` is the number of the first. */
export interface SectorCipher {
  /** `data` stays as it is; what comes back is the caller's. */
  encrypt(sector: number, data: Uint8Array): Uint8Array;
  /** In place. */
  decrypt(sector: number, data: Uint8Array): void;
}

/** Of the block ciphers that disks are encrypted with here. */
export const blockBytes = 16;

/** What the numbers of `count` sectors from `sector` on come to, a block for each. */
export type IvGenerator = (sector: number, count: number) => Uint8Array;
