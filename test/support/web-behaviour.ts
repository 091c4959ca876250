/**
 * Web servers as they are: what one answers, with a switch for each thing that servers do differently or badly. Whoever
 * carries the answers is elsewhere: web-line.ts over a line in virtual time, switched-server.ts over real connections.
 */

/** What becomes of the next request for a range. */
export type Trouble =
  /** The server refuses, with or without saying when it will not. */
  | { kind: 'status'; status: number; retryAfter?: string }
  /** The connection is lost before the answer, or after half of it. */
  | { kind: 'reset' }
  | { kind: 'cut' }
  /** Nothing comes, or nothing after half of it. */
  | { kind: 'silent' }
  | { kind: 'stall' }
  /** A whole answer, of half of what was asked for. */
  | { kind: 'short' }
  /** The whole file comes, as from a cache that has not seen it yet. */
  | { kind: 'whole' };

export interface WebBehaviour {
  head: 'well' | 'refused' | 'failing' | 'reset' | 'silent' | 'empty' | 'lengthless' | 'wrong' | 'packed';
  etag: 'strong' | 'weak' | 'alternating' | 'none';
  modified: boolean;
  /** Another origin sees only what every server shows. */
  hides: boolean;
  /** GET without a range tells the length. */
  tellsLength: boolean;
  acceptRanges: boolean;
  ranges: 'served' | 'ignored' | 'packed' | 'multipart';
  /** Longest answer to a range, in bytes. */
  mostBytes: number;
  /** Taken one by one by requests of ranges. */
  troubles: Trouble[];
}

export const wellBehaved: Readonly<WebBehaviour> = {
  head: 'well',
  etag: 'strong',
  modified: true,
  hides: false,
  tellsLength: true,
  acceptRanges: true,
  ranges: 'served',
  mostBytes: Number.POSITIVE_INFINITY,
  troubles: [],
};

const busy = { kind: 'status', status: 503 } as const;

/** Each switch alone. */
export const switches: Readonly<Record<string, Partial<WebBehaviour>>> = {
  'refuses HEAD': { head: 'refused' },
  'fails at HEAD': { head: 'failing' },
  'resets at HEAD': { head: 'reset' },
  'never answers HEAD': { head: 'silent' },
  'says at HEAD that there is nothing': { head: 'empty' },
  'tells no length at HEAD': { head: 'lengthless' },
  'tells a wrong length at HEAD': { head: 'wrong' },
  'compresses at HEAD': { head: 'packed' },
  'hides what it can': { hides: true },
  'hides what it can and refuses HEAD': { hides: true, head: 'refused' },
  'hides what it can and never answers HEAD': { hides: true, head: 'silent' },
  'hides what it can and says at HEAD that there is nothing': { hides: true, head: 'empty' },
  'hides what it can and tells a wrong length at HEAD': { hides: true, head: 'wrong' },
  'hides what it can and tells no length': { hides: true, head: 'lengthless', tellsLength: false },
  'has a weak ETag': { etag: 'weak' },
  'has one ETag in two forms': { etag: 'alternating' },
  'has no ETag': { etag: 'none' },
  'does not say that it has ranges': { acceptRanges: false },
  'sends at most 20,000 bytes': { mostBytes: 20_000 },
  'ignores ranges': { ranges: 'ignored' },
  'compresses ranges': { ranges: 'packed' },
  'sends ranges in parts': { ranges: 'multipart' },
  'is busy': { troubles: [busy, busy, busy] },
  'says when it is not busy': { troubles: [{ ...busy, retryAfter: '1' }] },
  'limits its clients': { troubles: [{ kind: 'status', status: 429, retryAfter: '1' }] },
  'loses connections': { troubles: [{ kind: 'reset' }, { kind: 'cut' }, { kind: 'reset' }] },
  'does not answer': { troubles: [{ kind: 'silent' }] },
  'stops in the middle': { troubles: [{ kind: 'stall' }] },
  'sends less than asked': { troubles: [{ kind: 'short' }, { kind: 'short' }] },
  'sends the whole file for a range': { troubles: [{ kind: 'whole' }] },
};

/** Why a file cannot be opened, at the end of the message; undefined: it can be read. */
export function refusalOf(
  { hides, head, tellsLength, ranges }: WebBehaviour,
  isEmpty: boolean,
): string | undefined {
  const noRanges = "Server does not support 'range' (byte ranges).";
  if (ranges === 'ignored') return isEmpty && tellsLength ? undefined : noRanges;
  if (isEmpty) return undefined;
  if (ranges === 'packed' && !hides)
    return 'The server compresses what it sends (Content-Encoding: gzip): these are not the bytes of the file';
  if (ranges === 'multipart')
    return 'The server sends a range in parts (Content-Type: multipart/byteranges; boundary=x): these are not the bytes of the file';
  return hides && head !== 'well' && !tellsLength ? "Server didn't report file size." : undefined;
}

/** What a server does with a request. */
export interface WebAnswer {
  /** Nothing at all comes: for ever, or because the connection is lost. */
  fate?: 'silent' | 'reset';
  status: number;
  headers: Record<string, string>;
  body: Uint8Array;
  /** After so many bytes of the body, nothing comes any more. */
  stopsAt?: { bytes: number; how: 'silent' | 'reset' };
}

export interface WebQuestion {
  method: string;
  /** The header. */
  range: string | undefined;
}

export const corsHeaders = [
  'cache-control',
  'content-language',
  'content-length',
  'content-type',
  'last-modified',
];

const none = new Uint8Array();

/** One file on one server. */
export class BehavingFile {
  /** Every request, as `GET bytes=0-9` and `HEAD `. */
  readonly requests: string[] = [];
  private answers = 0;

  constructor(
    public content: Uint8Array,
    public behaviour: WebBehaviour = { ...wellBehaved },
  ) {}

  answer({ method, range }: WebQuestion): WebAnswer {
    this.requests.push(`${method} ${range ?? ''}`);
    if (method === 'HEAD') return this.head();
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(range ?? '') ?? [];
    if (first === undefined || this.behaviour.ranges === 'ignored') return this.whole();
    const trouble = this.behaviour.troubles.shift();
    const answer = this.part(Number(first), Number(last), trouble?.kind === 'short');
    switch (trouble?.kind) {
      case 'status':
        return {
          status: trouble.status,
          headers: trouble.retryAfter === undefined ? {} : { 'retry-after': trouble.retryAfter },
          body: none,
        };
      case 'reset':
      case 'silent':
        return { ...answer, fate: trouble.kind };
      case 'cut':
      case 'stall': {
        const bytes = Math.floor(answer.body.length / 2);
        return { ...answer, stopsAt: { bytes, how: trouble.kind === 'cut' ? 'reset' : 'silent' } };
      }
      case 'whole':
        return this.whole();
      default:
        return answer;
    }
  }

  private head(): WebAnswer {
    const { head } = this.behaviour;
    const headers = { ...this.headers(), 'content-length': String(this.content.length) };
    const answer: WebAnswer = { status: 200, headers, body: none };
    if (head === 'refused') return { status: 405, headers: {}, body: none };
    if (head === 'failing') return { status: 500, headers: {}, body: none };
    if (head === 'reset' || head === 'silent') return { ...answer, fate: head };
    if (head === 'empty') headers['content-length'] = '0';
    if (head === 'wrong') headers['content-length'] = String(this.content.length + 1000);
    if (head === 'packed') Object.assign(headers, { 'content-encoding': 'gzip', 'content-length': '99' });
    if (head === 'lengthless') return { ...answer, headers: this.headers() };
    return answer;
  }

  private whole(): WebAnswer {
    const headers: Record<string, string> = this.headers();
    if (this.behaviour.tellsLength) headers['content-length'] = String(this.content.length);
    return { status: 200, headers, body: this.content };
  }

  private part(first: number, last: number, isShort: boolean): WebAnswer {
    const { content, behaviour } = this;
    const total = content.length;
    if (first >= total) return { status: 416, headers: { 'content-range': `bytes */${total}` }, body: none };
    const asked = Math.min(total, last + 1, first + behaviour.mostBytes) - first;
    const bytes = isShort ? Math.ceil(asked / 2) : asked;
    const headers: Record<string, string> = {
      ...this.headers(),
      'content-range': `bytes ${first}-${first + bytes - 1}/${total}`,
      'content-length': String(bytes),
    };
    if (behaviour.ranges === 'packed') headers['content-encoding'] = 'gzip';
    if (behaviour.ranges === 'multipart') {
      headers['content-type'] = 'multipart/byteranges; boundary=x';
      delete headers['content-range'];
    }
    return { status: 206, headers, body: content.subarray(first, first + bytes) };
  }

  private headers(): Record<string, string> {
    const { etag, modified, acceptRanges } = this.behaviour;
    const isWeak = etag === 'weak' || (etag === 'alternating' && this.answers++ % 2 === 1);
    return {
      'content-type': 'application/octet-stream',
      ...(acceptRanges && { 'accept-ranges': 'bytes' }),
      ...(etag !== 'none' && { etag: isWeak ? 'W/"1"' : '"1"' }),
      ...(modified && { 'last-modified': 'Mon, 01 Jan 2024 00:00:00 GMT' }),
    };
  }
}
