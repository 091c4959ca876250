/** An HTTP server on the loopback interface that starts and stops; what it answers is for those to say that extend it. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export abstract class LoopbackServer {
  private server: Server | undefined;

  protected abstract answer(request: IncomingMessage, response: ServerResponse): void;

  /** On a port of its own choice unless one is named. Gives its origin. */
  async start(port = 0): Promise<string> {
    const server = createServer((request, response) => this.answer(request, response));
    this.server = server;
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    return this.origin;
  }

  /** `http://127.0.0.1:PORT`. */
  get origin(): string {
    return `http://127.0.0.1:${(this.server!.address() as AddressInfo).port}`; // it has started
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
