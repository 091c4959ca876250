/** Numbers of a VMDK file, which are little-endian. */

/** A field of 64 bits; above 2^53 rounded, which every limit refuses. */
export function getU64(view: DataView, at: number): number {
  return Number(view.getBigUint64(at, true));
}

export function setU64(view: DataView, at: number, value: number): void {
  view.setBigUint64(at, BigInt(value), true);
}
