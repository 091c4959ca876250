/** Checksums of VHD structures: the ones' complement of the sum of all bytes, without those of the checksum. */

function checksumOf(bytes: Uint8Array, at: number): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i++) if (i < at || i >= at + 4) sum += bytes[i]!; // i is inside
  return ~sum >>> 0;
}

function viewAt(bytes: Uint8Array, at: number): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset + at, 4);
}

/** `at`: where in the structure the checksum is. */
export function wrongChecksum(bytes: Uint8Array, at: number): boolean {
  return viewAt(bytes, at).getUint32(0) !== checksumOf(bytes, at);
}

/** The same bytes, with the checksum put in. */
export function withChecksum(bytes: Uint8Array, at: number): Uint8Array {
  viewAt(bytes, at).setUint32(0, checksumOf(bytes, at));
  return bytes;
}
