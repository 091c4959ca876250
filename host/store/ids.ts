/** The names of things in a repository: SHA-256 of their content, as bytes and in 64 hexadecimal digits. */
import { BlockError } from '../base/errors.ts';

export const idBytes = 32;

export function toHex(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0');
  return text;
}

/** Errors: EIO when it is none. `what` says whose it is to be. */
export function idFrom(text: unknown, what: string): Uint8Array {
  if (typeof text !== 'string' || !/^[0-9a-f]{64}$/.test(text))
    throw new BlockError('EIO', `${what}: ${JSON.stringify(text)?.slice(0, 80)} is no id`);
  const id = new Uint8Array(idBytes);
  for (let i = 0; i < idBytes; i++) id[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return id;
}

export function equalIds(a: Uint8Array, b: Uint8Array): boolean {
  return a.every((byte, i) => byte === b[i]);
}
