/**
 * The arena: memory is laid out once, from the end of the static data upwards, and given back by dropping the instance.
 *
 * The host makes the memory as large as the parts it initialises will need (initial = maximum), so addresses and views
 * never move.
 */

let top: usize = __heap_base;

/** `bytes` of zeroed memory at a multiple of `align`, a power of two. Traps when the memory is too small. */
export function allocate(bytes: usize, align: usize): usize {
  const start = (top + align - 1) & ~(align - 1);
  // In 64 bits, so that a request for nearly everything does not wrap around to a small one.
  if (<u64>start + bytes > (<u64>memory.size()) << 16) unreachable();
  top = start + bytes;
  return start;
}

/** The same for the host: buffers that it shares with steps. */
export function arena_allocate(bytes: u32, align: u32): usize {
  return allocate(bytes, align);
}

/** Bytes used by static data and everything allocated so far. */
export function arena_used(): usize {
  return top;
}
