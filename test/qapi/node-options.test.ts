/** The gate in front of drivers: what options of a node may look like, and what becomes of them. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { invalid } from '../../host/base/errors.ts';
import type { OpenContext } from '../../host/block/open-context.ts';
import { ownOptions } from '../../host/block/options.ts';
import { drivers } from '../../host/drivers.ts';
import { raw } from '../../host/formats/raw.ts';
import { checkNodeOptions } from '../../host/qapi/node-options.ts';
import {
  array,
  bool,
  byteCount,
  enumeration,
  int,
  optional,
  str,
  struct,
  uint32,
  worded,
} from '../../host/qapi/types.ts';

const type = struct('Options', {
  size: optional(byteCount),
  count: optional(int),
  seconds: optional(uint32),
  on: optional(bool),
  name: optional(str),
  mode: optional(worded(enumeration('Mode', ['a', 'b']), { refused: (text) => `no mode ${text}` })),
  list: optional(
    array(struct('Element', { event: worded(str, { missing: 'no event' }), once: optional(bool) })),
  ),
  inner: optional(struct('Inner', { on: optional(bool) })),
});

function check(given: Record<string, unknown>): unknown {
  return checkNodeOptions(type, given, (name) => invalid(`unsupported: ${name}`));
}

describe('a value', () => {
  test('beyond 2^53 is as near as a number can be', () => {
    expect(check({ size: 9223372036854775808n })).toEqual({ size: 2 ** 63 });
  });

  test.each([
    [{ size: '512' }, { size: 512 }],
    [{ size: 512 }, { size: 512 }],
    [{ size: '0.5k' }, { size: 512 }],
    [{ size: '0x200' }, { size: 512 }],
    [{ size: '1.25M' }, { size: 1_310_720 }],
    [{ count: '0x10' }, { count: 16 }],
    [{ count: '010' }, { count: 8 }],
    [{ count: -1 }, { count: -1 }],
    [{ count: '18446744073709551615' }, { count: -1 }],
    [{ on: 'yes' }, { on: true }],
    [{ on: false }, { on: false }],
    [{ name: 5 }, { name: '5' }],
    [{ name: true }, { name: 'on' }],
    [{ mode: 'b' }, { mode: 'b' }],
    [{ list: [{ event: 'x', once: 'on' }] }, { list: [{ event: 'x', once: true }] }],
    [{ list: { 0: { event: 'x' }, 1: { event: 'y' } } }, { list: [{ event: 'x' }, { event: 'y' }] }],
    [{ inner: { on: 'off' } }, { inner: { on: false } }],
    [{ size: null, on: {}, name: [], inner: { on: null } }, {}],
  ])('of any spelling is what it says: %j', (given, expected) => {
    expect(check(given)).toEqual(expected);
  });

  test.each([
    [{ size: 'x' }, "Parameter 'size' expects a non-negative number below 2^64"],
    [{ size: '' }, "Parameter 'size' expects a non-negative number below 2^64"],
    [{ size: -1 }, "Value '-1' is out of range for parameter 'size'"],
    [{ size: 1.5 }, "Parameter 'size' expects a non-negative number below 2^64"],
    [{ size: true }, "Parameter 'size' expects a non-negative number below 2^64"],
    [{ size: '16E' }, "Value '16E' is out of range for parameter 'size'"],
    [{ size: [1] }, 'unsupported: size.0'],
    [{ size: { a: 1 } }, 'unsupported: size.a'],
    [{ count: '1k' }, "Parameter 'count' expects a number"],
    [{ count: 'Infinity' }, "Parameter 'count' expects a number"],
    [{ count: '18446744073709551616' }, "Value '18446744073709551616' is too large for parameter 'count'"],
    [{ seconds: -1 }, "Parameter 'seconds' expects uint32_t"],
    [{ on: 1 }, "Parameter 'on' expects 'on' or 'off'"],
    [{ on: 'ON' }, "Parameter 'on' expects 'on' or 'off'"],
    [{ mode: 'c' }, 'no mode c'],
    [{ list: [{}, { once: true }] }, 'no event'],
    [{ list: 'x' }, 'unsupported: list'],
    [{ inner: 'x' }, 'unsupported: inner'],
    [{ inner: { other: 1 } }, 'unsupported: inner.other'],
    [{ other: null }, 'unsupported: other'],
    [{ __proto__x: 1 }, 'unsupported: __proto__x'],
  ])('that cannot be is refused by name: %j', (given, message) => {
    expect(() => check(given)).toThrow(message);
  });
});

const anything = fc.oneof(
  fc.jsonValue(),
  fc.string(),
  fc.double(),
  fc.bigInt(),
  fc.constantFrom('on', '0x', '-', '1e9', '9'.repeat(400), 'k', 'NaN'),
);

test.each(drivers.map((driver) => [driver.name, driver] as const))(
  'whatever the options of %s are, what passes has the declared types',
  (_, driver) => {
    const names = driver.options.members.map(({ name }) => name);
    if (names.length === 0) return;
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...names), anything), (given) => {
        let checked: Record<string, unknown>;
        try {
          checked = { ...ownOptions(driver, given) };
        } catch (error) {
          expect((error as Error).name).toBe('BlockError');
          return;
        }
        for (const [name, value] of Object.entries(checked)) {
          const { kind } = driver.options.members.find((member) => member.name === name)!.type; // only those pass
          if (kind === 'int') expect(Number.isInteger(value)).toBe(true);
          if (kind === 'bool') expect(typeof value).toBe('boolean');
          if (kind === 'string' || kind === 'enum') expect(typeof value).toBe('string');
          if (kind === 'array') expect(Array.isArray(value)).toBe(true);
        }
      }),
      { numRuns: 300 },
    );
  },
);

test('a driver cannot be given options that were not checked: the compiler refuses', () => {
  const open = (context: OpenContext): unknown => [
    raw.open(context, ownOptions(raw, { offset: '512' })),
    // @ts-expect-error: they have not been checked.
    raw.open(context, { offset: 512 }),
  ];
  expect(open).toBeTypeOf('function');
});
