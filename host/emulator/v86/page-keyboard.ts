/**
 * The keyboard of a page for a guest elsewhere: what is pressed as scan codes, and what a phone's keyboard types, which names no keys, as
 * text. Fields for text keep what goes to them, but for those of the class `phone_keyboard`, which are there to bring up that keyboard.
 */
import { scancodesOf } from './scancodes.ts';

interface KeyboardSink {
  sendScancodes(codes: readonly number[]): void;
  sendText(text: string): void;
}

/** What such keyboards do beside typing text, as keys. */
const keysOfInputs: Readonly<Record<string, string>> = {
  insertLineBreak: 'Enter',
  deleteContentBackward: 'Backspace',
};

/** Begins at once. Gives what ends it, which releases what is held down. */
export function sendKeys({ sendScancodes, sendText }: KeyboardSink): () => void {
  const held = new Set<string>();
  const takeKey = (event: KeyboardEvent): void => {
    const { code, type, target } = event;
    const isPressed = type === 'keydown';
    const codes = scancodesOf(code, isPressed);
    if (!codes || (isPressed && keepsText(target))) return;
    // The release of a key that was pressed elsewhere is none of the guest's business.
    if (!isPressed && !held.delete(code)) return;
    if (isPressed) held.add(code);
    event.preventDefault();
    sendScancodes(codes);
  };
  const takeInput = (event: Event): void => {
    const { inputType, data, target } = event as InputEvent;
    if (!isPhoneKeyboard(target)) return;
    const key = keysOfInputs[inputType];
    if (key)
      for (const isPressed of [true, false]) sendScancodes(scancodesOf(key, isPressed)!); // they are keys of a PC
    else if (inputType === 'insertText' && data) sendText(data);
  };
  const release = (): void => {
    for (const key of held) sendScancodes(scancodesOf(key, false)!); // only such keys are held
    held.clear();
  };
  const ending = new AbortController();
  const { signal } = ending;
  window.addEventListener('keydown', takeKey, { signal });
  window.addEventListener('keyup', takeKey, { signal });
  window.addEventListener('input', takeInput, { signal });
  window.addEventListener('blur', release, { signal });
  return () => {
    release();
    ending.abort();
  };
}

function isPhoneKeyboard(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.classList.contains('phone_keyboard');
}

function keepsText(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement) || isPhoneKeyboard(target)) return false;
  return target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
}
