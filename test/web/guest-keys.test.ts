import { expect, test } from 'vitest';
import { barKeys, stroke, withModifiers } from '../../host/web/guest-keys.ts';

const named = (label: string) => barKeys.find((key) => key.label === label)!; // the tests name keys of the bar

test('a key is pressed and released, with the prefix of those that have one before both', () => {
  expect(stroke(named('Esc'))).toEqual([0x01, 0x81]);
  expect(stroke(named('↑'))).toEqual([0xe0, 0x48, 0xe0, 0xc8]);
  expect(stroke(named('F10'))).toEqual([0x44, 0xc4]);
  expect(stroke(named('F12'))).toEqual([0x58, 0xd8]);
});

test('function keys are what xterm sends for them', () => {
  const characters = ['F1', 'F4', 'F5', 'F6', 'F10', 'F11', 'F12'].map((label) => named(label).characters);
  expect(characters).toEqual([
    '\x1bOP',
    '\x1bOS',
    '\x1b[15~',
    '\x1b[17~',
    '\x1b[21~',
    '\x1b[23~',
    '\x1b[24~',
  ]);
});

test('Ctrl makes control characters of letters, Alt puts an escape before what is typed', () => {
  expect(withModifiers('c', new Set(['ctrl']))).toBe('\x03');
  expect(withModifiers('[', new Set(['ctrl']))).toBe('\x1b');
  expect(withModifiers('1', new Set(['ctrl']))).toBe('1');
  expect(withModifiers('f', new Set(['alt']))).toBe('\x1bf');
  expect(withModifiers('c', new Set(['ctrl', 'alt']))).toBe('\x1b\x03');
  expect(withModifiers('text', new Set())).toBe('text');
});
