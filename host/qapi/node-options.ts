/**
 * Checking the options that a node is opened with, and turning them into what its driver declares: the one gate in
 * front of every driver (specification: graph, section 2).
 *
 * By the time options come here nobody knows how they came: `json:` names, option strings, QMP and programs mix text and
 * JSON values as they like, and `"512"`, `512` and `"0.5k"` are the same offset. So scalars are taken as text first
 * (true is `on`), and read as QEMU's option lists read them: sizes with suffixes, numbers in C's spellings, switches. What
 * is null or empty counts as not given. Lists may be objects with the members `0`, `1`, …
 *
 * A value without the brand `Checked` has not been here, and no driver takes it.
 */
import { BlockError, invalid } from '../base/errors.ts';
import { formatJson } from './json-output.ts';
import { isJsonObject, type JsonObject, type JsonValue } from './json-value.ts';
import {
  parseBoolean,
  parseInteger,
  readInteger as readDeclaredInteger,
  readNumber,
} from './keyval-values.ts';
import { isBeyondSizes, parseSize, sizeHint } from './sizes.ts';
import type { Checked, EnumType, IntType, StructType, Type } from './types.ts';
import { type Dialect, Path, Visitor, wrongType } from './visitor.ts';

/**
 * The options as `type` says. `unsupported` makes the error about one that is not declared, by its dotted name.
 * Errors: BlockError.
 */
export function checkNodeOptions<T extends object>(
  type: StructType<T>,
  given: Readonly<Record<string, unknown>>,
  unsupported: (name: string) => BlockError,
): Checked<T> {
  const members: JsonObject = {};
  for (const [name, value] of Object.entries(given)) {
    const member = type.members.find((candidate) => candidate.name === name);
    const text = asText(value as JsonValue);
    // What nobody declared is unsupported even when it is empty.
    if (!member) throw unsupported(text === undefined ? name : dotted(name, text));
    if (text !== undefined) members[name] = shaped(member.type, text);
  }
  return new Visitor(dialectWith(unsupported)).visit(type, members, Path.root) as Checked<T>;
}

/** A list that came as an object with the members `0`, `1`, …; anything else is as it was. */
export function asList(value: unknown): unknown {
  if (!isJsonObject(value)) return value;
  const length = Object.keys(value).length;
  const elements = Array.from({ length }, (_, index) => value[String(index)]);
  return elements.includes(undefined) ? value : elements;
}

/** Scalars as text; undefined for what counts as not given. */
function asText(value: JsonValue | undefined): JsonValue | undefined {
  if (value === null || value === undefined) return undefined;
  if (Array.isArray(value)) {
    const elements = value.map(asText).filter((element) => element !== undefined);
    return elements.length === 0 ? undefined : elements;
  }
  if (isJsonObject(value)) {
    const members = Object.entries(value).flatMap(([name, inner]) => {
      const text = asText(inner);
      return text === undefined ? [] : [[name, text] as const];
    });
    return members.length === 0 ? undefined : Object.fromEntries(members);
  }
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  return typeof value === 'string' ? value : formatJson(value);
}

function shaped(type: Type, value: JsonValue): JsonValue {
  return type.kind === 'array' ? (asList(value) as JsonValue) : value;
}

/** The name of the first value inside `value`, which is an option named `name`. */
function dotted(name: string, value: JsonValue): string {
  if (typeof value !== 'object' || value === null) return name;
  const [first] = Object.entries(value);
  return first ? dotted(`${name}.${first[0]}`, first[1] as JsonValue) : name;
}

function dialectWith(unsupported: (name: string) => BlockError): Dialect {
  const unexpected = (value: JsonValue, path: Path): BlockError => unsupported(dotted(path.full, value));
  const string = (value: JsonValue, path: Path): string => {
    if (typeof value !== 'string') throw unexpected(value, path);
    return value;
  };
  return {
    string,
    bool(value, path) {
      const parsed = parseBoolean(string(value, path));
      if (parsed === undefined) throw expects(path, "'on' or 'off'");
      return parsed;
    },
    null(_value, path) {
      throw wrongType(path, 'null');
    },
    number: (value, path) => readNumber(string(value, path), path),
    integer: (value, path, type) => readInteger(string(value, path), path, type),
    accepts: ({ kind }) => kind === 'string' || kind === 'enum' || kind === 'any',
    misshapen: unexpected,
    unexpected,
    missing: (type, path) => invalid(type.words?.missing ?? `Parameter '${path.full}' is missing`),
    refused: refusal,
  };
}

function refusal({ words }: EnumType, text: string): BlockError | undefined {
  return words?.refused && invalid(words.refused(text));
}

const uint64Max = 2n ** 64n - 1n;

function readInteger(text: string, path: Path, type: IntType): number {
  if (type.isSize || type.width === 'size') return readSize(text, path);
  // Of a width of its own: not from an option list, but from a declaration.
  if (type.width !== 'int' && !type.isPlain) return readDeclaredInteger(text, path, type);
  const integer = parseInteger(text);
  if (integer === undefined) throw expects(path, 'a number');
  if (integer > uint64Max || integer < -uint64Max)
    throw invalid(`Value '${text}' is too large for parameter '${path.full}'`);
  return Number(BigInt.asIntN(64, integer));
}

function readSize(text: string, path: Path): number {
  const bytes = parseSize(text);
  if (bytes !== undefined) return bytes;
  if (isBeyondSizes(text))
    throw new BlockError('ERANGE', `Value '${text}' is out of range for parameter '${path.full}'`);
  throw expects(path, 'a non-negative number below 2^64', sizeHint);
}

function expects(path: Path, what: string, hint?: string): BlockError {
  return invalid(`Parameter '${path.full}' expects ${what}`, hint);
}
