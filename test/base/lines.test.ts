import { describe, expect, test } from 'vitest';
import { Lines } from '../../host/base/lines.ts';

const bytes = new TextEncoder().encode('one\r\n\nzwölf € 😀\nrest');
const whole = ['one\r', '', 'zwölf € 😀'];

describe('bytes as lines', () => {
  test('give each line when its end comes, wherever they are split', () => {
    for (let cut = 0; cut <= bytes.length; cut++) {
      const lines = new Lines();
      const got = [...lines.take(bytes.subarray(0, cut)), ...lines.take(bytes.subarray(cut))];
      expect(got).toEqual(whole);
      expect(lines.unfinishedLength).toBe('rest'.length);
      expect(lines.take(Uint8Array.of(10))).toEqual(['rest']);
      expect(lines.unfinishedLength).toBe(0);
    }
  });

  test('give the same when they come one by one', () => {
    const lines = new Lines();
    expect(Array.from(bytes, (byte) => lines.take(Uint8Array.of(byte))).flat()).toEqual(whole);
  });
});
