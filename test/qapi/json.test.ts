import { fc, test as property } from '@fast-check/vitest';
import { describe, expect, test } from 'vitest';
import { type JsonResult, JsonStream, parseJson } from '../../host/qapi/json.ts';
import { formatJson, formatPrettyJson } from '../../host/qapi/json-output.ts';
import { JsonDouble, type JsonValue } from '../../host/qapi/json-value.ts';

const encoder = new TextEncoder();

function streamed(input: string): (JsonValue | string)[] {
  const results: (JsonValue | string)[] = [];
  const stream = new JsonStream((result: JsonResult) =>
    results.push('error' in result ? result.error.message : result.value),
  );
  const bytes = encoder.encode(input);
  for (let at = 0; at < bytes.length; ) at += stream.push(bytes.subarray(at));
  return results;
}

describe('reading', () => {
  test.each([
    ['1', 1],
    ['-0', 0],
    ['9007199254740993', 9007199254740993n],
    ['18446744073709551615', 18446744073709551615n],
    ['-9223372036854775808', -9223372036854775808n],
    ['1.0', new JsonDouble(1)],
    ['1e3', new JsonDouble(1000)],
    ['0.5', 0.5],
    ['18446744073709551616', new JsonDouble(2 ** 64)],
    ['-9223372036854775809', new JsonDouble(-(2 ** 63))],
  ])('tells integers from fractional numbers: %s', (text, value) => {
    expect(parseJson(text)).toEqual(value);
  });

  test.each([
    ['{', 'JSON parse error, premature EOI'],
    ['', 'Expecting a JSON value'],
    ['"a', `JSON parse error, stray '"a'`],
    ['{"a":1,"a":2}', 'JSON parse error, duplicate key'],
    ['1 2', 'Expecting at most one JSON value'],
  ])('refuses %s', (text, message) => {
    expect(() => parseJson(text)).toThrow(message);
  });

  test('keeps members that objects of the language have of their own', () => {
    const value = parseJson('{"__proto__": 1, "constructor": 2}');
    expect(Object.entries(value as object)).toEqual([
      ['__proto__', 1],
      ['constructor', 2],
    ]);
  });

  test('stops at limits of nesting and number of tokens, and goes on after them', () => {
    expect(streamed(`${'['.repeat(1025)}\n\u0001\n1 `)).toEqual([
      'JSON nesting depth limit exceeded',
      "JSON parse error, stray '\u0001'",
      1,
    ]);
    const many = streamed(`[${'1,'.repeat(1 << 20)}`);
    expect(many).toEqual(['JSON token count limit exceeded']);
  });
});

describe('writing', () => {
  test.each([
    [0.1, '0.10000000000000001'],
    [new JsonDouble(1000), '1000'],
    [1.5e300, '1.5000000000000001e+300'],
    [1e-5, '1.0000000000000001e-05'],
    [0.0001, '0.0001'],
    [2 ** 63, '9223372036854775808'],
    [new JsonDouble(Number.POSITIVE_INFINITY), 'inf'],
    ['\u00e9\u0000\ud83d\ude00/\u007f', '"\\u00E9\\u0000\\uD83D\\uDE00/\\u007F"'],
  ])('%s', (value, text) => {
    expect(formatJson(value)).toBe(text);
  });

  test('orders members as the hash table of QEMU does', () => {
    const event = { data: 1, event: 2, timestamp: { microseconds: 1, seconds: 2 } };
    expect(formatJson(event)).toBe('{"timestamp": {"seconds": 2, "microseconds": 1}, "event": 2, "data": 1}');
  });

  test('puts empty lists and objects on two lines when pretty', () => {
    expect(formatPrettyJson({ a: [], b: {} })).toBe('{\n    "a": [\n    ],\n    "b": {\n    }\n}');
  });
});

const json = fc.letrec<{ value: JsonValue }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom(null, true, false),
    fc.maxSafeInteger().map((value) => (Object.is(value, -0) ? 0 : value)),
    fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
    fc.double({ noInteger: true, noDefaultInfinity: true, noNaN: true }),
    fc
      .string({ unit: 'grapheme' })
      .filter((text) => !/[\ufdd0-\ufdef\ufffe\uffff]|[\ud83f-\udbff][\udffe\udfff]/.test(text)),
    fc.array(tie('value')),
    fc.dictionary(fc.string(), tie('value')),
  ),
})).value;

property.prop([json])('what is written reads back as it was', (value) => {
  expect(parseJson(formatJson(value))).toEqual(value);
  expect(parseJson(formatPrettyJson(value, '\r\n'))).toEqual(value);
});
