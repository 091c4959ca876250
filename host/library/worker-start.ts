/**
 * Why a worker does not start. Browsers tell that it does not, by an event without a word, and the cause only to who opens their
 * console. So its file is asked for once more, and what comes is looked at.
 */

/**
 * Settles when the worker turns out not to start: always with an error, which names `url`; absent: it is made of a text. `end` forgets the page's part in it.
 * Errors that come from within a worker that has started are among them.
 */
export function watchStart(worker: Worker, url: string | undefined): { failed: Promise<never>; end(): void } {
  let isForbidden = false;
  // The event of a page goes up to its window.
  const onViolation = ({ effectiveDirective }: SecurityPolicyViolationEvent): void => {
    isForbidden ||= /^(worker|child|script)-src/.test(effectiveDirective);
  };
  addEventListener('securitypolicyviolation', onViolation as EventListener);
  const failed = new Promise<never>((_, reject) => {
    worker.onerror = ({ message }) => {
      const told = message ? Promise.resolve(message) : lookAt(url);
      void told.then((cause) =>
        reject(
          new Error(`The worker of the block layer does not start: ${isForbidden ? forbidden(url) : cause}`),
        ),
      );
    };
  });
  return { failed, end: () => removeEventListener('securitypolicyviolation', onViolation as EventListener) };
}

function forbidden(url: string | undefined): string {
  if (url === undefined)
    return "the page's Content-Security-Policy forbids workers that are made of texts: worker-src needs 'blob:', or openBlockyard a workerUrl";
  return `the page's Content-Security-Policy forbids ${url}: worker-src needs 'self'`;
}

/** What is the matter with a file that a worker could not be made of. */
async function lookAt(url: string | undefined): Promise<string> {
  if (url === undefined) return 'the browser does not run it';
  try {
    const { ok, status, headers } = await fetch(url, { cache: 'no-store' });
    if (!ok) return `the server answers ${status} to ${url}`;
    const type = headers.get('content-type') ?? 'nothing that it names';
    if (!/\b(java|ecma)script\b/.test(type)) return `the server says that ${url} is ${type}, not JavaScript`;
    if (!headers.has('cross-origin-embedder-policy'))
      return `${url} cannot be run: if the page has the header Cross-Origin-Embedder-Policy, this file needs it, too`;
    return `${url}, or what it imports, cannot be run`;
  } catch (error) {
    return `${url} cannot be fetched: ${(error as Error).message}`;
  }
}
