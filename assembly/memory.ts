/**
 * The arena: memory is laid out from the end of the static data upwards, and given back by dropping the instance.
 *
 * Addresses stay valid. An instance whose memory may grow (the host says so by a maximum above the initial size) tells
 * the host when it did: views of a memory that grew show nothing any more.
 */

/** The host takes its views anew. */
// @ts-ignore: decorator
@external('env', 'memory_grown')
declare function memory_grown(): void;

let top: usize = __heap_base;

/** `bytes` of zeroed memory at a multiple of `align`, a power of two. Traps when the memory cannot be made large enough. */
export function allocate(bytes: usize, align: usize): usize {
  const start = (top + align - 1) & ~(align - 1);
  // In 64 bits, so that a request for nearly everything does not wrap around to a small one.
  const end = <u64>start + bytes;
  if (end > (<u64>memory.size()) << 16) grow(end);
  top = start + bytes;
  return start;
}

/** Makes the memory reach up to `end` at least. A part more than that, so that what fills up grows few times. */
function grow(end: u64): void {
  const pages = memory.size();
  const missing = <i32>((end + 0xffff) >> 16) - pages;
  if (memory.grow(max(missing, pages >> 3)) < 0 && memory.grow(missing) < 0) unreachable();
  memory_grown();
}

/** The same for the host: buffers that it shares with steps. */
export function arena_allocate(bytes: u32, align: u32): usize {
  return allocate(bytes, align);
}

/** Bytes used by static data and everything allocated so far. */
export function arena_used(): usize {
  return top;
}
