/**
 * The mouse of a page for a guest elsewhere, as messages of v86's bus: while it is over the screen, or the page has locked it.
 */

/** `isWanted`: whether the guest listens to a mouse: until then all is left to the page. */
export function sendMouse(
  screen: HTMLElement,
  isWanted: () => boolean,
  send: (name: string, value: readonly unknown[]) => void,
): () => void {
  /** Left, middle, right. */
  const buttons = [false, false, false];
  const { ownerDocument: page } = screen;
  const isOurs = ({ target }: Event): boolean =>
    isWanted() && (page.pointerLockElement !== null || screen.contains(target as Node | null));
  const move = (event: MouseEvent): void => {
    if (!isOurs(event)) return;
    const { movementX, movementY, clientX, clientY } = event;
    send('mouse-delta', [movementX, -movementY]);
    if (page.pointerLockElement) return;
    const { left, top, width, height } = screen.getBoundingClientRect();
    send('mouse-absolute', [clientX - left, clientY - top, width, height]);
  };
  const click = (event: MouseEvent): void => {
    const isPressed = event.type === 'mousedown';
    if (event.button >= buttons.length || (isPressed ? !isOurs(event) : !buttons[event.button])) return;
    buttons[event.button] = isPressed;
    send('mouse-click', [...buttons]);
    event.preventDefault();
  };
  const turn = (event: WheelEvent): void => {
    if (!isOurs(event)) return;
    send('mouse-wheel', [-Math.sign(event.deltaY), 0]);
    event.preventDefault();
  };
  const ending = new AbortController();
  const { signal } = ending;
  page.addEventListener('mousemove', move, { signal });
  page.addEventListener('mousedown', click, { signal });
  page.addEventListener('mouseup', click, { signal });
  page.addEventListener('wheel', turn, { signal, passive: false });
  page.addEventListener('contextmenu', (event) => isOurs(event) && event.preventDefault(), { signal });
  return () => ending.abort();
}
