import { spawnSync } from 'node:child_process';
import { fc, test as property } from '@fast-check/vitest';
import { describe, expect, test } from 'vitest';
import { parseKeyval } from '../../host/qapi/keyval.ts';
import { parseOption } from '../../host/qapi/keyval-values.ts';
import { bool, enumeration, int64, optional, str, struct, uint64 } from '../../host/qapi/types.ts';
import { haveQemu } from '../support/tools.ts';

const name = fc.stringMatching(/^[a-z][a-z0-9_-]{0,5}$/).filter((text) => text !== 'help');
type Tree = { [name: string]: Value };
type Value = string | Tree | Value[];

/** Objects and lists of texts, the only things that keyval can say. */
const { tree } = fc.letrec<{ tree: Tree; value: Value }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.string() as fc.Arbitrary<Value>,
    tie('tree'),
    fc.array(tie('value'), { minLength: 1, maxLength: 12 }),
  ),
  tree: fc.dictionary(name, tie('value'), { minKeys: 1, maxKeys: 4, noNullPrototype: true }),
}));

function write(value: Value, path: string): string[] {
  if (typeof value === 'string') return [`${path}=${value.replaceAll(',', ',,')}`];
  return Object.entries(value).flatMap(([key, inner]) => write(inner, path === '' ? key : `${path}.${key}`));
}

property.prop([tree])('what is written as keyval is read back', (values) => {
  expect(parseKeyval(write(values, '').join(','))).toEqual({ values, help: false });
});

property.prop([tree, fc.func(fc.nat())])('the order of the parameters does not matter', (values, rank) => {
  const shuffled = write(values, '').sort((a, b) => rank(a) - rank(b));
  expect(parseKeyval(shuffled.join(',')).values).toEqual(values);
});

test('names that objects have from birth are names like others', () => {
  expect(parseKeyval('constructor.toString=a,valueOf=b').values).toEqual({
    constructor: { toString: 'a' },
    valueOf: 'b',
  });
  expect(() => parseKeyval('__proto__.a=b')).toThrow("Invalid parameter '__proto__.a'");
});

const long = 'a'.repeat(128);

/** After `null-co,node-name=a,`; each is refused. */
const refused = [
  ...['__com.redhat_foo=1', '__com.redhat_a.b.c=1,__com.redhat_a.b=1', '__a.b=1', 'x.__a=1', '__foo=1'],
  ...[
    `${long}=1`,
    `${long.slice(1)}=1`,
    `x.${long}=1`,
    `${long}.x=1`,
    `${long}!=1`,
    `x.${'1'.repeat(128)}=1`,
  ],
  ...['x.0=1,x.2=2', 'x.1=1', 'x.0.0=1,x.0.2=1', 'x.99999999999=1', '0=1', 'x.-1=3', 'x.1a=3'],
  ...[
    'x.0=1,x.a=2',
    'x.a=2,x.0=1',
    'a.b.c=1,a.b=2',
    'a.b=1,a.b.c=2',
    'a.=1',
    '.x=1',
    '=',
    'é=1',
    'zz',
    'zz=',
  ],
  ...['on', 'On', 'y', 'n', 'Y', 'yes', 'no', 'true', 'false', 'True', '1', '0', '', 'on '].map(
    (text) => `read-zeroes=${text},zz=1`,
  ),
  ...['0', '010', '08', '0x1F', '0X1f', '+5', '-5', '--5', '0x', '-0x10', '7 ', '\t7', '1e3', '1k'].flatMap(
    (text) => [`size=${text},zz=1`, `latency-ns=${text},zz=1`],
  ),
  ...[2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n, 2n ** 64n, -(2n ** 63n), -(2n ** 63n) - 1n].flatMap(
    (number) => [`size=${number},zz=1`, `latency-ns=${number},zz=1`],
  ),
];

const options = struct('BlockdevOptions', {
  driver: enumeration('BlockdevDriver', ['null-co']),
  'node-name': optional(str),
  size: optional(int64),
  'latency-ns': optional(uint64),
  'read-zeroes': optional(bool),
});

function complaint(text: string): string {
  try {
    parseOption(options, text, 'driver');
    return 'none';
  } catch (error) {
    return (error as Error).message;
  }
}

describe.skipIf(!haveQemu)('QEMU and ours complain alike', () => {
  const whole = ['null-co,,node-name=a', ',', '=', 'null-co=1', 'driver', 'driver=', 'a=b', '{"driver":1}'];
  test.each([...refused.map((text) => `null-co,node-name=a,${text}`), ...whole])('%s', (text) => {
    const real = spawnSync('qemu-storage-daemon', ['--blockdev', text], { timeout: 5000, encoding: 'utf8' });
    expect(real.status).toBe(1);
    expect(`qemu-storage-daemon: --blockdev ${text}: ${complaint(text)}\n`).toBe(real.stderr);
  });
});
