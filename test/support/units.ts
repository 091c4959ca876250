/** Bytes, for tests that count in more of them. */
export const kib = 1 << 10;
export const mib = 1 << 20;
