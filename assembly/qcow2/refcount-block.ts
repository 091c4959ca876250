/**
 * Entries of a refcount block in memory (specification: qcow2, section 2.2). A count is 1 << order bits wide.
 *
 * | order  | width    | entry `index`                                                       |
 * |--------|----------|---------------------------------------------------------------------|
 * | 0 to 2 | 1, 2, 4  | in byte (index << order) / 8, the first one in its lowest bits      |
 * | 3      | 8        | byte `index`                                                        |
 * | 4 to 6 | 16 to 64 | big-endian                                                          |
 */

/** The largest count of a width. */
export function maxRefcount(order: u32): u64 {
  return order == 6 ? u64.MAX_VALUE : ((1 as u64) << ((1 as u64) << order)) - 1;
}

export function readRefcount(block: usize, index: u32, order: u32): u64 {
  switch (order) {
    case 3:
      return load<u8>(block + index);
    case 4:
      return bswap<u16>(load<u16>(block + ((<usize>index) << 1)));
    case 5:
      return bswap<u32>(load<u32>(block + ((<usize>index) << 2)));
    case 6:
      return bswap<u64>(load<u64>(block + ((<usize>index) << 3)));
    default: {
      const bit = index << order;
      return (load<u8>(block + (bit >> 3)) >> ((<u8>bit) & 7)) & ((1 << (1 << order)) - 1);
    }
  }
}

/** `count` is at most `maxRefcount(order)`. */
export function writeRefcount(block: usize, index: u32, order: u32, count: u64): void {
  switch (order) {
    case 3:
      store<u8>(block + index, <u8>count);
      return;
    case 4:
      store<u16>(block + ((<usize>index) << 1), bswap<u16>(<u16>count));
      return;
    case 5:
      store<u32>(block + ((<usize>index) << 2), bswap<u32>(<u32>count));
      return;
    case 6:
      store<u64>(block + ((<usize>index) << 3), bswap<u64>(count));
      return;
    default: {
      const bit = index << order;
      const at = block + (bit >> 3);
      const shift = bit & 7;
      const mask: u32 = ((1 << (1 << order)) - 1) << shift;
      store<u8>(at, <u8>((load<u8>(at) & ~mask) | ((<u32>count) << shift)));
    }
  }
}
