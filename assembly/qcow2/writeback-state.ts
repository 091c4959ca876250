/**
 * Whether a write-back is running. Steps that would change what it has already passed wait for its end.
 */
let running = false;

export function isWritingBack(): bool {
  return running;
}

export function setWritingBack(value: bool): void {
  running = value;
}
