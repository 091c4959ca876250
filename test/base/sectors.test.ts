import { describe, expect, test } from 'vitest';
import { roundDown, roundUp, wholeSectors } from '../../host/base/sectors.ts';

describe('rounding', () => {
  test.each([
    [0, 0, 0],
    [1, 0, 512],
    [511, 0, 512],
    [512, 512, 512],
    [513, 512, 1024],
    [2 ** 52 + 1, 2 ** 52, 2 ** 52 + 512],
  ])('%d lies between %d and %d', (value, down, up) => {
    expect([roundDown(value, 512), roundUp(value, 512), wholeSectors(value)]).toEqual([down, up, up]);
  });
});
