/**
 * How everything in a repository but its key files is encrypted and authenticated (specification: store, section 3).
 *
 *   sealed = IV 16 | AES-256-CTR(plain) | Poly1305 of the ciphertext 16
 *
 * The authenticator is looked at before anything is decrypted: what comes out of `unseal` was sealed with the same keys.
 */
import { BlockError } from '../base/errors.ts';
import { poly1305 } from '../core/poly1305.ts';
import type { Ciphers, Hashes, Random } from '../platform/platform.ts';

/** What the host is asked for. */
export interface Primitives {
  readonly ciphers: Ciphers;
  readonly hashes: Hashes;
  readonly random: Random;
}

export interface SealingKeys {
  /** 32 bytes: encrypts. */
  readonly encrypt: Uint8Array;
  /** 16 bytes: makes the second half of an authenticator's key of each IV. */
  readonly k: Uint8Array;
  /** 16 bytes: the first half of every authenticator's key. */
  readonly r: Uint8Array;
}

const ivBytes = 16;
const macBytes = 16;
/** How much longer it gets. */
export const sealingBytes = ivBytes + macBytes;

export async function seal(
  { ciphers, random }: Primitives,
  keys: SealingKeys,
  plain: Uint8Array,
): Promise<Uint8Array> {
  const sealed = new Uint8Array(plain.length + sealingBytes);
  const iv = sealed.subarray(0, ivBytes);
  do random.fill(iv);
  while (iv.every((byte) => byte === 0));
  sealed.set(await ciphers.applyCtr(plain, keys.encrypt, iv), ivBytes);
  const end = ivBytes + plain.length;
  sealed.set(await authenticator(ciphers, keys, iv, sealed.subarray(ivBytes, end)), end);
  return sealed;
}

/** Errors: EIO when it was not sealed with these keys, or has been changed since. */
export async function unseal(
  { ciphers }: Pick<Primitives, 'ciphers'>,
  keys: SealingKeys,
  sealed: Uint8Array,
): Promise<Uint8Array> {
  const end = sealed.length - macBytes;
  const iv = sealed.subarray(0, ivBytes);
  if (end < ivBytes || iv.every((byte) => byte === 0)) throw notAuthentic();
  const ciphertext = sealed.subarray(ivBytes, end);
  const expected = await authenticator(ciphers, keys, iv, ciphertext);
  if (!equalInConstantTime(expected, sealed.subarray(end))) throw notAuthentic();
  return ciphers.applyCtr(ciphertext, keys.encrypt, iv);
}

function notAuthentic(): BlockError {
  return new BlockError(
    'EIO',
    'the authentication code is wrong: it is damaged, or was sealed with another key',
  );
}

async function authenticator(
  ciphers: Ciphers,
  { k, r }: SealingKeys,
  iv: Uint8Array,
  ciphertext: Uint8Array,
): Promise<Uint8Array> {
  const key = new Uint8Array(2 * macBytes);
  key.set(r);
  key.set(await ciphers.encryptBlock(iv, k), macBytes);
  return poly1305(key, ciphertext);
}

function equalInConstantTime(a: Uint8Array, b: Uint8Array): boolean {
  let difference = a.length ^ b.length;
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ (b[i] ?? 0); // within a
  return difference === 0;
}
