/** Members of JSON that somebody else has written, each of the type that it is to have. Errors: EIO, naming it. */
import { BlockError } from '../base/errors.ts';

export type JsonRecord = Readonly<Record<string, unknown>>;

/** `what` says what it is read of, in messages. */
export function parseRecord(bytes: Uint8Array, what: string): JsonRecord {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw new BlockError('EIO', `${what} is not JSON`, { cause: error });
  }
  return asRecord(value, what);
}

export function asRecord(value: unknown, what: string): JsonRecord {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new BlockError('EIO', `${what} is no JSON object`);
  return value as JsonRecord;
}

export function stringIn(record: JsonRecord, name: string, what: string): string {
  const value = record[name];
  if (typeof value !== 'string') throw wrong(name, what);
  return value;
}

/** An integer, exact, from 0 to `most`. */
export function countIn(record: JsonRecord, name: string, most: number, what: string): number {
  const value = record[name];
  if (!Number.isSafeInteger(value) || (value as number) < 0 || (value as number) > most)
    throw wrong(name, what);
  return value as number;
}

/** Absent or null: an empty list. */
export function listIn(record: JsonRecord, name: string, what: string): readonly unknown[] {
  const value = record[name] ?? [];
  if (!Array.isArray(value)) throw wrong(name, what);
  return value;
}

/** In base64, of `bytes` bytes. */
export function base64In(
  record: JsonRecord,
  name: string,
  bytes: number | undefined,
  what: string,
): Uint8Array {
  let decoded: Uint8Array;
  try {
    decoded = Uint8Array.from(atob(stringIn(record, name, what)), (character) => character.charCodeAt(0));
  } catch (error) {
    throw error instanceof BlockError ? error : wrong(name, what);
  }
  if (bytes !== undefined && decoded.length !== bytes) throw wrong(name, what);
  return decoded;
}

export function toBase64(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

function wrong(name: string, what: string): BlockError {
  return new BlockError('EIO', `${what}: '${name}' is missing or not what it is to be`);
}
