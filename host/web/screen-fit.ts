/**
 * Scales what v86 draws so that all of it is seen, as large as its pane allows, in text and in graphics, whatever size the guest
 * chooses and the window has. The sides keep their proportion, and the pane never scrolls.
 */

/** Goes on for as long as both are in the page. `screen` lies in `pane` and has the size of what is drawn. */
export function keepFitted(pane: HTMLElement, screen: HTMLElement): void {
  const fit = (): void => {
    const { offsetWidth: width, offsetHeight: height } = screen;
    if (width === 0 || height === 0) return;
    const scale = Math.min(pane.clientWidth / width, pane.clientHeight / height);
    screen.style.transform = `translate(-50%, -50%) scale(${scale})`;
  };
  const observer = new ResizeObserver(fit);
  observer.observe(pane);
  observer.observe(screen);
}
