/** UUIDs of version 4 (RFC 4122), from whoever has chance to give. */

/** The 16 bytes of a new one, most significant first. */
export function newUuid(random: { fill(buffer: Uint8Array): void }): Uint8Array {
  const bytes = new Uint8Array(16);
  random.fill(bytes);
  bytes[6] = (bytes[6]! & 0x0f) | 0x40; // 16 bytes: version 4
  bytes[8] = (bytes[8]! & 0x3f) | 0x80; // and the variant
  return bytes;
}
