/**
 * Keys of a keyboard as a PC has them: scan codes of set 1, for the physical keys that browsers name (`KeyboardEvent.code`).
 * A key that is released sends the same with the high bit of the last byte set.
 */
const extended = 0xe0;
const releasedBit = 0x80;

/** From code 1 on. */
const plainKeys =
  'Escape Digit1 Digit2 Digit3 Digit4 Digit5 Digit6 Digit7 Digit8 Digit9 Digit0 Minus Equal Backspace Tab ' +
  'KeyQ KeyW KeyE KeyR KeyT KeyY KeyU KeyI KeyO KeyP BracketLeft BracketRight Enter ControlLeft ' +
  'KeyA KeyS KeyD KeyF KeyG KeyH KeyJ KeyK KeyL Semicolon Quote Backquote ShiftLeft Backslash ' +
  'KeyZ KeyX KeyC KeyV KeyB KeyN KeyM Comma Period Slash ShiftRight NumpadMultiply AltLeft Space CapsLock ' +
  'F1 F2 F3 F4 F5 F6 F7 F8 F9 F10 NumLock ScrollLock Numpad7 Numpad8 Numpad9 NumpadSubtract ' +
  'Numpad4 Numpad5 Numpad6 NumpadAdd Numpad1 Numpad2 Numpad3 Numpad0 NumpadDecimal';

const otherKeys: Readonly<Record<string, readonly number[]>> = {
  IntlBackslash: [0x56],
  F11: [0x57],
  F12: [0x58],
  NumpadEnter: [extended, 0x1c],
  ControlRight: [extended, 0x1d],
  NumpadDivide: [extended, 0x35],
  AltRight: [extended, 0x38],
  Home: [extended, 0x47],
  ArrowUp: [extended, 0x48],
  PageUp: [extended, 0x49],
  ArrowLeft: [extended, 0x4b],
  ArrowRight: [extended, 0x4d],
  End: [extended, 0x4f],
  ArrowDown: [extended, 0x50],
  PageDown: [extended, 0x51],
  Insert: [extended, 0x52],
  Delete: [extended, 0x53],
  MetaLeft: [extended, 0x5b],
  MetaRight: [extended, 0x5c],
  ContextMenu: [extended, 0x5d],
};

const codes = new Map<string, readonly number[]>([
  ...plainKeys.split(' ').map((key, i) => [key, [i + 1]] as const),
  ...Object.entries(otherKeys),
]);

/** What pressing or releasing a key sends. Undefined: a PC has no such key. */
export function scancodesOf(key: string, isPressed: boolean): readonly number[] | undefined {
  const pressed = codes.get(key);
  if (!pressed || isPressed) return pressed;
  return pressed.map((code, i) => (i === pressed.length - 1 ? code | releasedBit : code));
}
