/** A web server on this machine with the files of a folder, by ranges, as far away as it is told to be; it counts. */
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

export class WebFiles {
  requests = 0;
  bytes = 0;
  private readonly server: Server;

  private constructor(
    private readonly folder: string,
    private readonly latencyMs: number,
  ) {
    this.server = createServer((request, response) => {
      if (this.latencyMs === 0) this.answer(request, response);
      else setTimeout(() => this.answer(request, response), this.latencyMs);
    });
  }

  /** `latencyMs`: how long it waits with every answer. */
  static async start(folder: string, latencyMs = 0): Promise<WebFiles> {
    const files = new WebFiles(folder, latencyMs);
    await new Promise<void>((resolve) => files.server.listen(0, '127.0.0.1', resolve));
    return files;
  }

  get address(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.server.close();
    this.server.closeAllConnections();
  }

  private answer({ method, url, headers }: IncomingMessage, response: ServerResponse): void {
    const path = join(this.folder, url!); // of a request
    const { size } = statSync(path);
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? [];
    const start = Number(from ?? 0);
    const end = Math.min(Number(to ?? size - 1), size - 1);
    const length = end - start + 1;
    this.requests++;
    response.writeHead(from === undefined ? 200 : 206, {
      'accept-ranges': 'bytes',
      'content-length': length,
      etag: '"1"',
      ...(from === undefined ? {} : { 'content-range': `bytes ${start}-${end}/${size}` }),
    });
    if (method === 'HEAD') {
      response.end();
      return;
    }
    const content = Buffer.alloc(length);
    const file = openSync(path, 'r');
    readSync(file, content, 0, length, start);
    closeSync(file);
    this.bytes += length;
    response.end(content);
  }
}
