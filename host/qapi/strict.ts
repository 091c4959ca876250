/**
 * Checking parsed JSON against a declared type: every value must be of the very JSON type that is declared
 * (specification: qmp-protocol, section 5).
 */
import { invalid } from '../base/errors.ts';
import { JsonDouble, type JsonValue } from './json-value.ts';
import type { IntType, Type, TypeOf } from './types.ts';
import { checkRange, type Dialect, Path, Visitor, wrongType } from './visitor.ts';

/** The value as the type says. Throws BlockError. */
export function checkStrict<T extends Type>(type: T, value: JsonValue): TypeOf<T> {
  return visitor.visit(type, value, Path.root) as TypeOf<T>;
}

function isInteger(value: JsonValue): value is number | bigint {
  return typeof value === 'bigint' || Number.isInteger(value);
}

const int64Max = 2n ** 63n - 1n;

function readInteger(value: JsonValue, path: Path, { width }: IntType): number {
  if (width.startsWith('u') || width === 'size') {
    if (!isInteger(value)) throw invalid(`Parameter '${path.fullName}' expects uint64`);
    // As the C type does: a negative number becomes a large one.
    return checkRange(width, Number(BigInt.asUintN(64, BigInt(value))), path);
  }
  if (!isInteger(value) || value > int64Max) throw wrongType(path, 'integer');
  return checkRange(width, Number(value), path);
}

const json: Dialect = {
  string(value, path) {
    if (typeof value !== 'string') throw wrongType(path, 'string');
    return value;
  },
  bool(value, path) {
    if (typeof value !== 'boolean') throw wrongType(path, 'boolean');
    return value;
  },
  null(value, path) {
    if (value !== null) throw wrongType(path, 'null');
    return value;
  },
  number(value, path) {
    if (value instanceof JsonDouble) return value.value;
    if (typeof value !== 'number' && typeof value !== 'bigint') throw wrongType(path, 'number');
    return Number(value);
  },
  integer: readInteger,
  accepts({ kind }, value) {
    switch (kind) {
      case 'string':
      case 'enum':
        return typeof value === 'string';
      case 'bool':
        return typeof value === 'boolean';
      case 'null':
        return value === null;
      case 'int':
        return isInteger(value);
      case 'number':
        return typeof value === 'number' || typeof value === 'bigint' || value instanceof JsonDouble;
      default:
        return kind === 'any';
    }
  },
};

const visitor = new Visitor(json);
