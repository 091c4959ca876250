/**
 * Keys for who has no keyboard that has them: a phone. Each is known in both forms in which a guest may hear of it, as scan codes of
 * set 1 on its keyboard, and as the characters that a terminal (ECMA-48, as xterm sends them) puts on its serial line.
 *
 * Ctrl and Alt wait for the key that they go with, and are over with it. Nothing here knows of the page.
 */

export type Modifier = 'ctrl' | 'alt';

export interface Key {
  readonly label: string;
  /** What a screen reader says. */
  readonly title: string;
  /** What pressing it sends; releasing it sends the same with the high bit of the last byte set. */
  readonly scancodes: readonly number[];
  readonly characters: string;
}

const released = 0x80;
const extended = 0xe0;
const modifierCodes: Readonly<Record<Modifier, number>> = { ctrl: 0x1d, alt: 0x38 };
/** Both of Shift, left Ctrl, left Alt: what somebody may hold down while the focus goes elsewhere. */
const heldCodes = [0x2a, 0x36, 0x1d, 0x38];

const key = (label: string, title: string, scancodes: readonly number[], characters: string): Key => ({
  label,
  title,
  scancodes,
  characters,
});

/** F5 and above, by the numbers that xterm gives them; there is no 16 and no 22. */
const functionNumbers = [15, 17, 18, 19, 20, 21, 23, 24];

const functionKeys = Array.from({ length: 12 }, (_, i) => {
  const code = i < 10 ? 0x3b + i : 0x57 + i - 10;
  const characters = i < 4 ? `\x1bO${'PQRS'[i]}` : `\x1b[${functionNumbers[i - 4]}~`;
  return key(`F${i + 1}`, `F${i + 1}`, [code], characters);
});

export const barKeys: readonly Key[] = [
  key('Esc', 'Esc', [0x01], '\x1b'),
  key('Tab', 'Tab', [0x0f], '\t'),
  key('←', 'Arrow left', [extended, 0x4b], '\x1b[D'),
  key('↑', 'Arrow up', [extended, 0x48], '\x1b[A'),
  key('↓', 'Arrow down', [extended, 0x50], '\x1b[B'),
  key('→', 'Arrow right', [extended, 0x4d], '\x1b[C'),
  ...functionKeys,
];

/** What releases whatever may be held down. A guest takes a release without a press for nothing. */
export const releaseAll: readonly number[] = heldCodes.map((code) => code | released);

export const pressModifier = (modifier: Modifier): readonly number[] => [modifierCodes[modifier]];

export const releaseModifier = (modifier: Modifier): readonly number[] => [
  modifierCodes[modifier] | released,
];

/** Pressed and released. */
export function stroke({ scancodes }: Key): readonly number[] {
  return [...scancodes, ...scancodes.map((code, i) => (i === scancodes.length - 1 ? code | released : code))];
}

/** What a terminal sends for a character while modifiers are held: Ctrl makes it a control character, Alt puts an escape before it. */
export function withModifiers(text: string, held: ReadonlySet<Modifier>): string {
  const isControllable = held.has('ctrl') && /^[@-~]$/.test(text);
  const typed = isControllable ? String.fromCharCode(text.charCodeAt(0) & 0x1f) : text;
  return held.has('alt') ? `\x1b${typed}` : typed;
}
