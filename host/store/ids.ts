/** The names of things in a repository: SHA-256 of their content, as bytes and in 64 hexadecimal digits. */
import { BlockError } from '../base/errors.ts';

export const idBytes = 32;

const hexDigits = new TextEncoder().encode('0123456789abcdef');

export function toHex(bytes: Uint8Array): string {
  const digits = new Uint8Array(2 * bytes.length);
  putHex(bytes, digits, 0);
  return new TextDecoder().decode(digits);
}

/** Two digits for each byte, as ASCII, from `at` on. */
export function putHex(bytes: Uint8Array, into: Uint8Array, at: number): void {
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!; // within
    into[at + 2 * i] = hexDigits[byte >>> 4]!; // one of 16
    into[at + 2 * i + 1] = hexDigits[byte & 15]!; // one of 16
  }
}

/** Errors: EIO when it is none. `what` says whose it is to be. */
export function idFrom(text: unknown, what: string): Uint8Array {
  if (typeof text !== 'string' || !/^[0-9a-f]{64}$/.test(text))
    throw new BlockError('EIO', `${what}: ${JSON.stringify(text)?.slice(0, 80)} is no id`);
  const id = new Uint8Array(idBytes);
  for (let i = 0; i < idBytes; i++) id[i] = (digitAt(text, 2 * i) << 4) | digitAt(text, 2 * i + 1);
  return id;
}

/** Of a digit that there is. */
function digitAt(text: string, at: number): number {
  const code = text.charCodeAt(at);
  return code <= 57 ? code - 48 : code - 87;
}

export function equalIds(a: Uint8Array, b: Uint8Array): boolean {
  return a.every((byte, i) => byte === b[i]);
}
