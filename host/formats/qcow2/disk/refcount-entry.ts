/**
 * Entries of a refcount block, one by one (specification: qcow2, section 2.2). Widths of 1 to 64 bits; those below a
 * byte fill it from the lowest bit. What runs per request has this in the core.
 */
import { viewOf } from '../../../base/view-of.ts';

/** Entry `index`. Beyond 2^53 it is not exact. */
export function getRefcount(block: Uint8Array, index: number, refcountOrder: number): number {
  const view = viewOf(block);
  if (refcountOrder === 6) return Number(view.getBigUint64(index * 8));
  if (refcountOrder === 5) return view.getUint32(index * 4);
  if (refcountOrder === 4) return view.getUint16(index * 2);
  if (refcountOrder === 3) return view.getUint8(index);
  const bits = 2 ** refcountOrder;
  const byte = view.getUint8(Math.floor((index * bits) / 8));
  return (byte >> ((index * bits) % 8)) & (2 ** bits - 1);
}

/** `count` must fit: see `maxRefcount`. */
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

/** The largest count of a width. */
export function maxRefcount(refcountOrder: number): number {
  return 2 ** (2 ** refcountOrder) - 1;
}
