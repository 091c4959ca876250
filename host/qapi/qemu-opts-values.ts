/**
 * Checking what a QemuOpts list says against a declared type, as `-object` of a machine is read: the last of several equal
 * names counts, and values are text.
 *
 * The list is flat, so that a member that is an object itself cannot be given, dotted or not. Integers are of 64 bits, and
 * switches and numbers with fractions are spelt as in keyval.
 */
import { type BlockError, invalid } from '../base/errors.ts';
import { parseBoolean, parseInteger, readNumber } from './keyval-values.ts';
import type { OptionPair } from './qemu-opts.ts';
import type { Type, TypeOf } from './types.ts';
import { type Dialect, Path, Visitor } from './visitor.ts';

/** The options as the type says. Throws BlockError. */
export function checkQemuOpts<T extends Type>(type: T, pairs: readonly OptionPair[]): TypeOf<T> {
  const values = Object.fromEntries(pairs.map(({ name, value }) => [name, value]));
  return visitor.visit(type, values, Path.root) as TypeOf<T>;
}

const int64 = { min: -(2n ** 63n), max: 2n ** 63n - 1n };

const unexpected = (path: Path): BlockError => invalid(`Invalid parameter '${path.full}'`);
const expects = (path: Path, what: string): BlockError => invalid(`Parameter '${path.full}' expects ${what}`);

const dialect: Dialect = {
  string: (value) => String(value),
  bool(value, path) {
    const parsed = parseBoolean(String(value));
    if (parsed === undefined) throw expects(path, "'on' or 'off'");
    return parsed;
  },
  null(_value, path) {
    throw unexpected(path);
  },
  number: (value, path) => readNumber(String(value), path),
  integer(value, path) {
    const integer = parseInteger(String(value));
    if (integer === undefined || integer > int64.max || integer < int64.min) {
      throw expects(path, 'an int64 value');
    }
    return Number(integer);
  },
  accepts: ({ kind }) => kind === 'string' || kind === 'enum' || kind === 'any',
  misshapen: (_value, path) => unexpected(path),
  unexpected: (_value, path) => unexpected(path),
};

const visitor = new Visitor(dialect);
