/**
 * Where the next compressed cluster goes: behind the last one, in the part of its host cluster that is still unused
 * (specification: qcow2, section 9.5).
 *
 * The cursor is forgotten as soon as a reference to its cluster is given up: were that cluster freed and taken by
 * something else, appending to it would destroy data.
 */
let cursor: u64 = 0;

/** Byte offset in the file, 0 when there is none. */
export function packingCursor(): u64 {
  return cursor;
}

export function setPackingCursor(offset: u64): void {
  cursor = offset;
}

export function dropPackingCursorAt(cluster: u64): void {
  if (cursor && (cursor - 1) >> cursorBits == cluster) cursor = 0;
}

let cursorBits: u64 = 16;

export function qcow2_init_cursor(clusterBits: u32): void {
  cursorBits = clusterBits;
}
