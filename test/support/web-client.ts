/** Clients of `blockyard web`: a well-behaved one that keeps its connections, and one that sends what it is told to. */
import { once } from 'node:events';
import { Agent, type IncomingHttpHeaders, type OutgoingHttpHeaders, request } from 'node:http';
import { connect, type Socket } from 'node:net';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export class WebClient {
  private readonly agent = new Agent({ keepAlive: true });

  constructor(private readonly base: string) {}

  /** `target` goes out as it is, without what `fetch` tidies. */
  ask(target: string, headers: OutgoingHttpHeaders = {}, method = 'GET'): Promise<Answer> {
    const { hostname, port } = new URL(this.base);
    return new Promise((resolve, reject) => {
      const { agent } = this;
      const sent = request({ hostname, port, path: target, method, headers, agent }, async (response) => {
        try {
          const body = Buffer.concat(await response.toArray());
          resolve({ status: response.statusCode!, headers: response.headers, body });
        } catch (error) {
          reject(error);
        }
      });
      sent.on('error', reject);
      sent.end();
    });
  }

  close(): void {
    this.agent.destroy();
  }
}

/** A connection on which `bytes` were sent. */
export async function sendRaw(base: string, bytes: string): Promise<Socket> {
  const { hostname, port } = new URL(base);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {});
  await once(socket, 'connect');
  socket.write(bytes, 'latin1');
  return socket;
}

/** What comes until the connection ends. */
export async function receiveAll(socket: Socket): Promise<string> {
  let text = '';
  socket.on('data', (bytes) => {
    text += bytes.toString('latin1');
  });
  await closing(socket);
  return text;
}

/** Also of one that ends in an error. */
export async function closing(socket: Socket): Promise<void> {
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
}
