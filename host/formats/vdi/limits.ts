/** How large VDI images are that are opened and made here (specification: vdi, section 2). */
import { BlockError } from '../../base/errors.ts';

export const blockBytes = 1 << 20;

/** Entries of the block map, which is in memory: 128 MiB, for a disk of 32 TiB. */
export const maxBlocks = 1 << 25;
const maxDiskBytes = BigInt(maxBlocks * blockBytes);

/** Errors: ENOTSUP. */
export function checkDiskBytes(bytes: bigint): void {
  if (bytes <= maxDiskBytes) return;
  const sizes = `size is 0x${bytes.toString(16)}, max supported is 0x${maxDiskBytes.toString(16)}`;
  throw new BlockError('ENOTSUP', `Unsupported VDI image size (${sizes})`);
}
