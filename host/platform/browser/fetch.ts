/**
 * The browser's `fetch`, with the cause. Browsers tell pages nothing of why a request got no response, or a WebSocket was not opened,
 * lest they learn about servers that are none of theirs; what can be the cause is known all the same.
 */

/** As `fetch`. Errors: a TypeError that says what may be the cause; an abort, as `fetch` tells it. */
export async function explainedFetch(url: string, init?: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new TypeError(`${error.message}: ${causeFor(url, 'read it (CORS)')}`, { cause: error });
  }
}

/** What may have kept a page from what is at `url`; `refusal`: what servers do not let pages do. */
export function causeFor(url: string, refusal: string): string {
  if (!navigator.onLine) return 'this computer is not connected';
  if (!URL.canParse(url, location.href)) return 'it is not an address';
  const { origin, protocol, hostname } = new URL(url, location.href);
  if (origin === location.origin) return 'the server cannot be reached';
  const isHere = /^(localhost|127\..*|\[::1\])$/.test(hostname);
  if (location.protocol === 'https:' && !isHere) {
    if (protocol === 'http:') return 'a page that came over https may not read from http';
    if (protocol === 'ws:') return 'a page that came over https may connect to wss only';
  }
  return `the server cannot be reached, does not let pages of ${location.origin} ${refusal}, or this page's Content-Security-Policy does not (connect-src)`;
}
