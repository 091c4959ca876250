/** Comparing content: at the speed of memory when it is the same, and byte by byte only to say where it is not. */

/** Where the two differ first; -1: nowhere. When one begins as the other, that is where the shorter one ends. */
export function firstDifference(found: Uint8Array, expected: Uint8Array): number {
  if (Buffer.compare(found, expected) === 0) return -1;
  const at = found.findIndex((byte, i) => byte !== expected[i]);
  return at < 0 ? found.length : at;
}
