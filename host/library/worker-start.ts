/**
 * Why a worker does not start. Browsers tell that it does not, by an event without a word, and the cause only to who opens their
 * console. So its file is asked for once more, and what comes is looked at. Of a file that is another script they tell nothing:
 * the worker of this package says that it is here (worker-inbox.ts), and one that does not is given up.
 */
import { clock } from '../platform/browser/clock.ts';
import { revived } from './rpc.ts';
import type { WorkerMessage } from './worker-inbox.ts';

/** How long a worker whose file has come may say nothing. */
const patienceNs = 10_000_000_000;

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
  const heard = new AbortController();
  const failed = new Promise<never>((_, reject) => {
    const fail = (cause: string): void =>
      reject(new Error(`The worker of the block layer does not start: ${cause}`));
    worker.onerror = ({ message }) => {
      const told = message ? Promise.resolve(message) : lookAt(url);
      void told.then((cause) => fail(isForbidden ? forbidden(url) : cause));
    };
    // Other scripts may say anything.
    worker.onmessage = ({ data }: MessageEvent<WorkerMessage | null>) => {
      if (data?.type === 'listening') heard.abort();
      else if (data?.type === 'failed') reject(revived(data.error));
    };
    if (url !== undefined) {
      void staysSilent(url, heard.signal).then((isSilent) => {
        if (isSilent) fail(`${url} says nothing: it is not worker.js of this version of blockyard`);
      });
    }
  });
  const end = (): void => {
    heard.abort();
    removeEventListener('securitypolicyviolation', onViolation as EventListener);
  };
  return { failed, end };
}

/** Whether the worker at `url` has had the time to come and to start; not so when it is `heard` before. */
async function staysSilent(url: string, heard: AbortSignal): Promise<boolean> {
  await pause(heard);
  if (heard.aborted) return false;
  // On a slow line this takes as long as it has taken the worker. What is wrong with the file is not the question here.
  await fetch(url, { signal: heard })
    .then((response) => response.arrayBuffer())
    .catch(() => {});
  await pause(heard);
  return !heard.aborted;
}

function pause(end: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = clock.setTimer(patienceNs, resolve);
    end.addEventListener('abort', () => {
      timer.cancel();
      resolve();
    });
  });
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
