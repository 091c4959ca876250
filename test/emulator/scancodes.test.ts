import { expect, test } from 'vitest';
import { scancodesOf } from '../../host/emulator/v86/scancodes.ts';

test('knows keys by their places, pressed and released', () => {
  const keys = ['Escape', 'Digit0', 'KeyA', 'Enter', 'Space', 'F10', 'NumpadDecimal', 'F12', 'ArrowUp'];
  expect(keys.map((key) => scancodesOf(key, true))).toEqual([
    [0x01],
    [0x0b],
    [0x1e],
    [0x1c],
    [0x39],
    [0x44],
    [0x53],
    [0x58],
    [0xe0, 0x48],
  ]);
  expect(scancodesOf('KeyA', false)).toEqual([0x9e]);
  expect(scancodesOf('ArrowUp', false)).toEqual([0xe0, 0xc8]);
  expect(scancodesOf('BrowserBack', true)).toBeUndefined();
});
