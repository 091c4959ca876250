/**
 * A web server in memory, as the platform's `fetch`: one file in ranges, and what can go wrong with it.
 */
import type { Fetch, FetchRequest, FetchResponse } from '../../host/platform/platform.ts';

export interface Answer {
  status: number;
  headers: Record<string, string>;
  body: Uint8Array;
}

export class WebFile {
  etag: string | undefined = '"1"';
  modified: string | undefined;
  /** Every request, as `GET bytes=0-9` and `HEAD `. */
  readonly requests: string[] = [];
  /** Most requests that were under way at once. */
  mostAtOnce = 0;
  /** Replaces or spoils the answer to a request; may throw for a lost connection, or wait. */
  spoil: (answer: Answer, request: FetchRequest) => Answer | Promise<Answer> = (answer) => answer;
  private now = 0;

  constructor(public content: Uint8Array) {}

  readonly fetch: Fetch = Object.assign((_url: string, request: FetchRequest) => this.respond(request), {
    setsCookies: true as const,
  });

  private async respond(request: FetchRequest): Promise<FetchResponse> {
    this.requests.push(`${request.method} ${request.headers['range'] ?? ''}`);
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.now);
    try {
      const answer = await unlessAborted(request.signal, this.spoil(this.answerTo(request), request));
      const pieces = [answer.body.slice()];
      return {
        status: answer.status,
        headers: { get: (name) => answer.headers[name] ?? null },
        body: { getReader: () => ({ read: async () => ({ value: pieces.shift() }) }) },
      };
    } finally {
      this.now--;
    }
  }

  private answerTo({ method, headers: { range } }: FetchRequest): Answer {
    const headers: Record<string, string> = { 'accept-ranges': 'bytes' };
    if (this.etag !== undefined) headers['etag'] = this.etag;
    if (this.modified !== undefined) headers['last-modified'] = this.modified;
    const total = this.content.length;
    const asked = /^bytes=(\d+)-(\d+)$/.exec(range ?? '');
    if (!asked) {
      headers['content-length'] = String(total);
      return { status: 200, headers, body: method === 'HEAD' ? new Uint8Array() : this.content };
    }
    const [start, end] = [Number(asked[1]), Math.min(total, Number(asked[2]) + 1)];
    if (start >= total) {
      return { status: 416, headers: { 'content-range': `bytes */${total}` }, body: new Uint8Array() };
    }
    headers['content-range'] = `bytes ${start}-${end - 1}/${total}`;
    headers['content-length'] = String(end - start);
    return { status: 206, headers, body: this.content.subarray(start, end) };
  }
}

async function unlessAborted<T>(signal: AbortSignal, answer: T | Promise<T>): Promise<T> {
  let stop = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(new Error('aborted'));
    signal.addEventListener('abort', stop);
    if (signal.aborted) stop();
  });
  try {
    return await Promise.race([answer, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
