/**
 * Entries of a refcount block, one by one (specification: qcow2, section 2.2). Widths of 1 to 64 bits; those below a
 * byte fill it from the lowest bit. What runs per request has this in the core.
 */
import { viewOf } from './image-file.ts';

/** `count` must fit the width. */
export function setRefcount(block: Uint8Array, index: number, refcountOrder: number, count: number): void {
  const view = viewOf(block);
  if (refcountOrder === 6) view.setBigUint64(index * 8, BigInt(count));
  else if (refcountOrder === 5) view.setUint32(index * 4, count);
  else if (refcountOrder === 4) view.setUint16(index * 2, count);
  else if (refcountOrder === 3) view.setUint8(index, count);
  else {
    const bits = 2 ** refcountOrder;
    const at = Math.floor((index * bits) / 8);
    const shift = (index * bits) % 8;
    const others = view.getUint8(at) & ~((2 ** bits - 1) << shift);
    view.setUint8(at, others | (count << shift));
  }
}
