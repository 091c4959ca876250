/**
 * Checking the text values of a keyval option against a declared type, and turning them into what the type says
 * (specification: cli, section 1).
 *
 * Booleans are on/off, yes/no, true/false or y/n. Integers are decimal, octal or hexadecimal; only members of type
 * `size` take suffixes.
 */
import { type BlockError, invalid } from '../base/errors.ts';
import { parseJson } from './json.ts';
import type { JsonValue } from './json-value.ts';
import { parseKeyval } from './keyval.ts';
import { parseSize, sizeHint } from './sizes.ts';
import { checkStrict } from './strict.ts';
import type { IntType, Type, TypeOf } from './types.ts';
import { checkRange, type Dialect, Path, Visitor, wrongType } from './visitor.ts';

/** The value as the type says. Throws BlockError. */
export function checkKeyval<T extends Type>(type: T, value: JsonValue): TypeOf<T> {
  return visitor.visit(type, value, Path.root) as TypeOf<T>;
}

/** One argument of a tool: JSON when it starts with `{`, else keyval. Throws BlockError. */
export function parseOption<T extends Type>(type: T, text: string, impliedKey?: string): TypeOf<T> {
  if (text.startsWith('{')) return checkStrict(type, parseJson(text));
  const { values, help } = parseKeyval(text, impliedKey);
  if (help) throw invalid('Help is not available for this option');
  return checkKeyval(type, values);
}

/** The text of a boolean, or undefined when it is none. */
export function parseBoolean(text: string): boolean | undefined {
  if (['on', 'yes', 'true', 'y'].includes(text)) return true;
  return ['off', 'no', 'false', 'n'].includes(text) ? false : undefined;
}

const int64 = { min: -(2n ** 63n), max: 2n ** 63n - 1n };
const uint64Max = 2n ** 64n - 1n;

/** As strtoll with base 0 reads it; undefined when anything else stands there. */
export function parseInteger(text: string): bigint | undefined {
  const match = /^\s*([+-]?)(?:0x([0-9a-f]+)|0([0-7]*)|([1-9]\d*))$/i.exec(text);
  if (!match) return undefined;
  const [, sign, hex, octal, decimal] = match;
  const magnitude = BigInt(hex ? `0x${hex}` : (decimal ?? `0o${octal || '0'}`));
  return sign === '-' ? -magnitude : magnitude;
}

/** Throws BlockError. */
export function readInteger(value: JsonValue, path: Path, { width }: IntType): number {
  const text = keyvalDialect.string(value, path);
  if (width === 'size') {
    const bytes = parseSize(text);
    if (bytes === undefined) throw expects(path, 'a size', sizeHint);
    return bytes;
  }
  const integer = parseInteger(text);
  if (integer === undefined) throw expects(path, 'integer');
  if (width === 'uint64') {
    // Negative numbers wrap, as strtoull has it.
    if (integer > uint64Max || integer < -uint64Max) throw expects(path, 'integer');
    return Number(BigInt.asUintN(64, integer));
  }
  if (integer > int64.max || integer < int64.min) throw expects(path, 'integer');
  return checkRange(width, Number(integer), path);
}

/** A number with or without a fraction. Throws BlockError. */
export function readNumber(text: string, path: Path): number {
  const parsed = text.trim() === '' ? Number.NaN : Number(text);
  if (!Number.isFinite(parsed)) throw expects(path, 'number');
  return parsed;
}

function expects(path: Path, what: string, hint?: string): BlockError {
  return invalid(`Parameter '${path.fullName}' expects ${what}`, hint);
}

const keyvalDialect: Dialect = {
  string(value, path) {
    if (typeof value !== 'string') throw invalid(`Parameters '${path.fullName}.*' are unexpected`);
    return value;
  },
  bool(value, path) {
    const parsed = parseBoolean(keyvalDialect.string(value, path));
    if (parsed === undefined) throw expects(path, "'on' or 'off'");
    return parsed;
  },
  null(value, path) {
    if (value !== '') throw wrongType(path, 'null');
    return null;
  },
  number: (value, path) => readNumber(keyvalDialect.string(value, path), path),
  integer: readInteger,
  accepts: ({ kind }) => kind === 'string' || kind === 'enum' || kind === 'any',
};

const visitor = new Visitor(keyvalDialect);
