/** A web server for pages under test: whole files with their types, and ranges of them. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { extname } from 'node:path';
import { LoopbackServer } from './loopback-server.ts';

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.css': 'text/css',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.wasm': 'application/wasm',
};

export class PageServer extends LoopbackServer {
  /** What is served under a path; undefined: nothing. */
  find: (path: string) => Uint8Array | string | undefined = () => undefined;
  /** What is sent along with a path, in place of what usually is. */
  headersOf: (path: string) => Readonly<Record<string, string>> = () => ({});
  etag = '"1"';
  /** Whether whoever asks for a range is told that the server has failed. */
  isBroken = false;
  /** Whether connections of whoever asks for a range are lost. */
  loses = false;
  /** The ranges that have been asked for, as `PATH FIRST-LAST`, but for those by which a file is only looked at. */
  readonly ranges: string[] = [];

  protected answer({ url = '', method, headers }: IncomingMessage, response: ServerResponse): void {
    const path = new URL(url, 'http://localhost').pathname;
    const found = this.find(path);
    if (found === undefined) {
      response.writeHead(404).end();
      return;
    }
    const content =
      typeof found === 'string'
        ? Buffer.from(found)
        : Buffer.from(found.buffer, found.byteOffset, found.byteLength);
    const range = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? '');
    const first = Number(range?.[1] ?? 0);
    const last = Math.min(content.length, range?.[2] ? Number(range[2]) + 1 : content.length) - 1;
    if (range && range[0] !== 'bytes=0-0') this.ranges.push(`${path} ${first}-${last}`);
    if (this.loses && range) {
      response.destroy();
      return;
    }
    if (this.isBroken && range) {
      response.writeHead(500).end();
      return;
    }
    response.writeHead(range ? 206 : 200, {
      'content-type': types[path.endsWith('/') ? '.html' : extname(path)] ?? 'application/octet-stream',
      'content-length': last + 1 - first,
      'accept-ranges': 'bytes',
      etag: this.etag,
      ...(range ? { 'content-range': `bytes ${first}-${last}/${content.length}` } : {}),
      ...this.headersOf(path),
    });
    response.end(method === 'HEAD' ? undefined : content.subarray(first, last + 1));
  }
}
