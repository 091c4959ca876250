import { fc, test as property } from '@fast-check/vitest';
import { describe, expect, test } from 'vitest';
import { formatDuration, formatIoSize, formatSize } from '../../host/cli/shared/human-size.ts';
import { parseInteger, parseSize } from '../../host/cli/shared/numbers.ts';

describe('sizes', () => {
  test.each([
    ['0', 0],
    ['0x10', 16],
    ['010', 10],
    ['1.', 1],
    ['1.k', 1024],
    ['+5', 5],
    [' 5', 5],
    ['0.1k', 102],
    ['0.00048828125k', 1],
    ['.5k', 512],
    ['1b', 1],
    ['5B', 5],
    ['1e', 2 ** 60],
    ['1.0000001k', 1024],
    ['1.5E', 1.5 * 2 ** 60],
    ['0.00001k', 0],
    ['64K', 65536],
    ['9007199254740993', 2n ** 53n + 1n],
    ['4503599627370497.5k', 2n ** 62n + 1536n],
    ['9223372036854775807', 2n ** 63n - 1n],
    ['0x7fffffffffffffff', 2n ** 63n - 1n],
  ])('read %j as %d', (text, value) => {
    expect(parseSize(text)).toEqual({ ok: true, value: BigInt(value) });
  });

  test.each(['', '1e3', '1.5', '1.5b', '.5', '5 ', '1KB', 'inf', 'nan', '0x', '0x1.8', '1,5', '1.e1k', 'k'])(
    'refuse %j',
    (text) => {
      expect(parseSize(text)).toEqual({ ok: false, problem: 'invalid' });
    },
  );

  test('tell what is negative from what is no number', () => {
    expect(parseSize('-1')).toEqual({ ok: false, problem: 'range' });
  });

  test.each(['8E', '9E', '9223372036854775808'])('refuse %j as too large', (text) => {
    expect(parseSize(text)).toEqual({ ok: false, problem: 'range' });
  });

  property.prop([fc.nat(), fc.constantFrom('', 'b', 'k', 'M', 'g')])(
    'with a suffix are multiples of its power',
    (count, suffix) => {
      const power = suffix === '' ? 0 : 'bkmg'.indexOf(suffix.toLowerCase());
      expect(parseSize(`${count}${suffix}`)).toEqual({ ok: true, value: BigInt(count * 1024 ** power) });
    },
  );
});

describe('integers', () => {
  test.each([
    ['0', 0],
    ['0xff', 255],
    ['010', 8],
    ['+3', 3],
    [' 3', 3],
  ])('read %j as %d', (text, value) => {
    expect(parseInteger(text, 255)).toBe(value);
  });

  test.each(['', '-1', '256', '1k', '08', '0b1', '1e1', 'x'])('refuse %j', (text) => {
    expect(parseInteger(text, 255)).toBeUndefined();
  });
});

describe('sizes for people', () => {
  test.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '0.977 KiB'],
    [1024, '1 KiB'],
    [1388544, '1.32 MiB'],
    [200704, '196 KiB'],
    [1023 * 1024, '0.999 MiB'],
    [2 ** 30, '1 GiB'],
    [2 ** 62, '4 EiB'],
    [999.7 * 1024, '1e+03 KiB'],
    [1.125 * 1024, '1.12 KiB'],
    [1.375 * 1024, '1.38 KiB'],
  ])('img shows %d as %s', (bytes, text) => {
    expect(formatSize(bytes)).toBe(text);
  });

  test.each([
    [0, '0 bytes'],
    [1000, '1000 bytes'],
    [17.783691, '17.783691 bytes'],
    [1024, '1 KiB'],
    [1536, '1.500 KiB'],
    [3000, '2.930 KiB'],
    [2.8125 * 2 ** 20, '2.812 MiB'],
    [2.8135 * 2 ** 20, '2.813 MiB'],
    [2.6875 * 2 ** 20, '2.688 MiB'],
    [2 ** 40, '1 TiB'],
  ])('io shows %d as %s', (bytes, text) => {
    expect(formatIoSize(bytes)).toBe(text);
  });

  test.each([
    [0, '00.00 sec'],
    [1.239e9, '01.23 sec'],
    [60e9, '0:01:00.00'],
    [3685.17e9, '1:01:25.17'],
  ])('%d ns last %s', (ns, text) => {
    expect(formatDuration(ns)).toBe(text);
  });

  test('durations for machines always have hours', () => {
    expect(formatDuration(1e7, true)).toBe('0:00:00.01');
  });
});
