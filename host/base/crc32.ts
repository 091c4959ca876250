/** CRC-32 (ISO-HDLC, as in zip): tells damage apart, and nothing that somebody did on purpose. */

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (value & 1 ? 0xedb88320 : 0);
  return value;
});

/** Of `bytes`; unsigned. */
export function crc32(bytes: Uint8Array): number {
  let value = 0xffffffff;
  // Within the bytes, and within the 256 entries of the table.
  for (let i = 0; i < bytes.length; i++) value = (value >>> 8) ^ table[(value ^ bytes[i]!) & 0xff]!;
  return ~value >>> 0;
}
