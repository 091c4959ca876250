/**
 * What stands around the page's content, whatever that is: its elements, messages at its corner, and the theme. index.html has them
 * all. Loaded with the chooser, so nothing of a machine is in here.
 */
import { recall, remember } from './remembered.ts';

const messageMs = 7000;
const themeKey = 'blockyard-theme';

/** One that index.html has. */
export const element = (id: string): HTMLElement => document.getElementById(id)!; // index.html has them

/** Says something at the corner of the page for a while. */
export function tell(text: string, isError: boolean): void {
  const line = document.createElement('p');
  line.textContent = text;
  if (isError) line.className = 'error';
  element('messages').append(line);
  setTimeout(() => line.remove(), messageMs);
}

export const theme = {
  listeners: [] as (() => void)[],
  onChange(listener: () => void): void {
    this.listeners.push(listener);
  },
  start(): void {
    const { documentElement: root } = document;
    const kept = recall(themeKey);
    if (kept) root.dataset['theme'] = kept;
    element('theme').addEventListener('click', () => {
      const isDark = root.dataset['theme']
        ? root.dataset['theme'] === 'dark'
        : matchMedia('(prefers-color-scheme: dark)').matches;
      root.dataset['theme'] = isDark ? 'light' : 'dark';
      remember(themeKey, root.dataset['theme']);
      for (const listener of this.listeners) listener();
    });
  },
};
