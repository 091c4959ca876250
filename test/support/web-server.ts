/** A web server on the loopback interface: files in ranges, with faults when a request path asks for them. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { LoopbackServer } from './loopback-server.ts';

/** What may go wrong with every request to `/FAULT/name`; with `-once`, with the first range only. */
export type WebFault =
  | 'status-500'
  | 'no-ranges'
  | 'no-length'
  | 'no-head'
  | 'drop'
  | 'drop-once'
  | 'short'
  | 'short-once'
  | 'status-500-once'
  | 'silent';

export class WebServer extends LoopbackServer {
  readonly files = new Map<string, { content: Uint8Array; etag: string }>();
  /** Requests of ranges that were answered well, by file. */
  readonly served = new Map<string, number>();
  /** The `Authorization` header of each request. */
  readonly authorizations: (string | undefined)[] = [];
  private readonly spent = new Set<string>();

  url(name: string, fault?: WebFault): string {
    return `${this.origin}/${fault === undefined ? '' : `${fault}/`}${name}`;
  }

  put(name: string, content: Uint8Array, etag = '"1"'): void {
    this.files.set(name, { content, etag });
  }

  /** Undefined: none, or none any more. */
  private faultOf(path: string, isRange: boolean): string | undefined {
    const fault = /^\/([^/]+)\//.exec(path)?.[1];
    if (!fault?.endsWith('-once')) return fault;
    if (!isRange || this.spent.has(path)) return undefined;
    this.spent.add(path);
    return fault.replace(/-once$/, '');
  }

  protected answer(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? '';
    this.authorizations.push(request.headers.authorization);
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
    // Looking at the file succeeds.
    const isRead = range !== null && range[0] !== 'bytes=0-0';
    const fault = this.faultOf(path, isRead);
    const name = path.slice(path.lastIndexOf('/') + 1);
    const file = this.files.get(name);
    const isHead = request.method === 'HEAD';
    const start = Number(range?.[1] ?? 0);
    let refusal: number | undefined;
    if (fault === 'status-500') refusal = 500;
    else if (fault === 'no-head' && isHead) refusal = 405;
    else if (file && range && start >= file.content.length) refusal = 416;
    if (!file || refusal !== undefined) {
      response.writeHead(refusal ?? 404).end();
      return;
    }
    if (fault === 'silent' && isRead) return;
    if (fault === 'drop' && isRead) {
      request.socket.destroy();
      return;
    }
    const { content, etag } = file;
    const headers: Record<string, string | number> = { etag };
    if (fault !== 'no-ranges') headers['accept-ranges'] = 'bytes';
    if (fault !== 'no-length') headers['content-length'] = content.length;
    if (!range || fault === 'no-ranges') {
      response.writeHead(200, headers).end(isHead ? undefined : content);
      return;
    }
    const end = Math.min(content.length, range[2] ? Number(range[2]) + 1 : content.length);
    headers['content-length'] = end - start;
    headers['content-range'] = `bytes ${start}-${end - 1}/${content.length}`;
    response.writeHead(206, headers);
    if (fault === 'short') {
      response.write(content.subarray(start, start + (end - start) / 2), () => response.destroy());
      return;
    }
    this.served.set(name, (this.served.get(name) ?? 0) + 1);
    response.end(content.subarray(start, end));
  }
}
