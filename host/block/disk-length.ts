/** The longest disk that QEMU opens, of whatever format. Lengths have all their digits here: they are what a user typed. */
import { BlockError, invalid } from '../base/errors.ts';

const maxDiskBytes = 2n ** 63n - 2n ** 30n;

/** `bytes`: in 64 bits, of which QEMU takes the first for a sign. Errors: EIO or EINVAL, for what is no length of a disk. */
export function checkDiskLength(bytes: bigint): void {
  const length = BigInt.asIntN(64, bytes);
  if (length < 0n) throw invalid('Image size cannot be negative');
  if (length > maxDiskBytes)
    throw new BlockError('EIO', `offset(${length}) exceeds maximum(${maxDiskBytes})`);
}
