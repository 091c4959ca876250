/**
 * A key spread over thousands of stripes, so that losing any one of them loses the key: what disks do not erase for certain
 * is then erased all the same (specification: luks, section 2).
 *
 * All stripes but the last are chance. Each is mixed into what has come of those before it, and that is diffused by a hash;
 * the last stripe is what makes the key of it.
 */
import type { NamedHash } from '../../platform/platform.ts';
import { stripeCount } from './header.ts';

/** `material` holds all stripes, and may be longer. */
export function mergeStripes(hash: NamedHash, material: Uint8Array, keyBytes: number): Uint8Array {
  const key = diffuseStripes(hash, material, keyBytes);
  mix(key, material.subarray((stripeCount - 1) * keyBytes));
  return key;
}

/** Spreads `key` over `material`, which holds chance. */
export function splitKey(hash: NamedHash, key: Uint8Array, material: Uint8Array): void {
  const last = diffuseStripes(hash, material, key.length);
  mix(last, key);
  material.set(last, (stripeCount - 1) * key.length);
}

/** What comes of all stripes but the last. */
function diffuseStripes(hash: NamedHash, material: Uint8Array, keyBytes: number): Uint8Array {
  const block = new Uint8Array(keyBytes);
  for (let stripe = 0; stripe < stripeCount - 1; stripe++) {
    mix(block, material.subarray(stripe * keyBytes));
    diffuse(hash, block);
  }
  return block;
}

function mix(block: Uint8Array, other: Uint8Array): void {
  for (let at = 0; at < block.length; at++) block[at]! ^= other[at]!; // it is as long
}

/** Each part of the length of a digest becomes the digest of its number and itself. */
function diffuse(hash: NamedHash, block: Uint8Array): void {
  const { digestBytes } = hash;
  for (let at = 0, index = 0; at < block.length; at += digestBytes, index++) {
    const part = block.subarray(at, at + digestBytes);
    const numbered = new Uint8Array(4 + part.length);
    new DataView(numbered.buffer).setUint32(0, index);
    numbered.set(part, 4);
    part.set(hash.digest(numbered).subarray(0, part.length));
  }
}
