import { describe, expect, expectTypeOf, test } from 'vitest';
import { withoutUndefined } from '../../host/base/without-undefined.ts';

describe('members that are undefined', () => {
  test('are left out, and all others stay in their order', () => {
    const members = withoutUndefined({ z: 0, a: undefined, 'b-c': '', n: null, f: false });
    expect(Object.entries(members)).toEqual([
      ['z', 0],
      ['b-c', ''],
      ['n', null],
      ['f', false],
    ]);
  });

  test('may be left out of the type, and no others', () => {
    const format = undefined as string | undefined;
    const members = withoutUndefined({ size: 1, format });
    expectTypeOf(members.size).toEqualTypeOf<number>();
    expectTypeOf(members).toExtend<{ size: number; format?: string }>();
  });
});
