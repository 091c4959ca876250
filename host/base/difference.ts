/** Where the content of two buffers starts to differ. */

/** Index of the first byte that differs, -1 for equal buffers. Both have the same length. */
export function firstDifference(a: Uint8Array, b: Uint8Array): number {
  const { length } = a;
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return i;
  return -1;
}
