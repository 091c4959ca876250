/** Numbers of a VMDK file, which are little-endian. */

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A field of 64 bits; above 2^53 rounded, which every limit refuses. */
export function getU64(view: DataView, at: number): number {
  return Number(view.getBigUint64(at, true));
}

export function setU64(view: DataView, at: number, value: number): void {
  view.setBigUint64(at, BigInt(value), true);
}
