/**
 * Lists of cluster numbers, as the check collects them table by table.
 */

export function concatenate(pieces: readonly Uint32Array[]): Uint32Array {
  const result = new Uint32Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    result.set(piece, at);
    at += piece.length;
  }
  return result;
}

/** `sorted` without repetitions. */
export function distinct(sorted: Uint32Array): Uint32Array {
  return sorted.filter((value, index) => index === 0 || value !== sorted[index - 1]);
}
