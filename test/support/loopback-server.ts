/** An HTTP server on the loopback interface that starts and stops; what it answers is for those to say that extend it. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';

export abstract class LoopbackServer {
  private server: Server | undefined;

  /** `identity`: key and certificate with which it serves https, in PEM. Absent: http. */
  constructor(private readonly identity?: { readonly key: string; readonly cert: string }) {}

  protected abstract answer(request: IncomingMessage, response: ServerResponse): void;

  /** On a port of its own choice unless one is named. Gives its origin. */
  async start(port = 0): Promise<string> {
    const { identity } = this;
    const answer = (request: IncomingMessage, response: ServerResponse): void =>
      this.answer(request, response);
    const server = identity ? createSecureServer(identity, answer) : createServer(answer);
    this.server = server;
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    return this.origin;
  }

  /** `http://127.0.0.1:PORT`, or `https://`. */
  get origin(): string {
    return `${this.identity ? 'https' : 'http'}://127.0.0.1:${(this.server!.address() as AddressInfo).port}`; // it has started
  }

  /** Also ends the connections that clients keep. */
  async stop(): Promise<void> {
    const { server } = this;
    if (!server) return;
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  }
}
