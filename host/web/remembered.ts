/** Small things that the page remembers for the next visit. Where the browser lets it remember nothing, it has no next visit. */

/** Undefined: nothing is remembered under this name. */
export function recall(key: string): string | undefined {
  return storage()?.getItem(key) ?? undefined;
}

export function remember(key: string, text: string): void {
  storage()?.setItem(key, text);
}

/** Asking for it is refused where the site may not store data. */
function storage(): Storage | undefined {
  try {
    return localStorage;
  } catch {
    return undefined;
  }
}
