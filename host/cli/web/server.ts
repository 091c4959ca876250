/**
 * Answers HTTP requests with what a site has, and stays.
 *
 * Whatever a client sends or leaves out costs it its own connection at most:
 * 1. Of one connection one request is answered at a time, so that there are never more files open than connections. Requests
 *    that are sent ahead wait, a few of them.
 * 2. Each wait for a client ends: for its headers, its body, its next request, and for it to take what it asked for.
 * 3. What is received is kept nowhere; nothing grows with the number of requests.
 *
 * Each answer, those to what is no HTTP included, forbids other sites to embed it, and to be taken for another type than it says. A
 * browser keeps what it was given, and asks each time whether it is still so.
 */
import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerOptions,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { traceSocket } from '../shared/trace-socket.ts';
import { type AllowedHosts, authorityOf } from './allowed-hosts.ts';
import type { Identity } from './certificate.ts';
import { answerWithFile } from './file-answer.ts';
import type { Site } from './site.ts';

interface Limits {
  /** More are refused. */
  readonly connections: number;
  /** Requests of one connection that are not answered yet; more end it. */
  readonly requestsAhead: number;
  /** From the first byte of a request, or the connection's beginning, to the end of its headers. */
  readonly headersMs: number;
  /** To the end of the request. */
  readonly requestMs: number;
  /** Between an answer and the next request. */
  readonly betweenRequestsMs: number;
  /** In which nothing moves in either direction. */
  readonly stillMs: number;
  /** How often the first two are looked at. */
  readonly checkMs: number;
}

export const usualLimits: Limits = {
  connections: 512,
  requestsAhead: 16,
  headersMs: 10_000,
  requestMs: 20_000,
  betweenRequestsMs: 5_000,
  stillMs: 60_000,
  checkMs: 2_000,
};

/** The page runs our own scripts and WebAssembly, and reads images from wherever its user says. */
const contentSecurityPolicy = [
  "default-src 'self'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data: blob:",
  "worker-src 'self' blob:",
  'connect-src *',
  "frame-ancestors 'none'",
].join('; ');

const everyAnswer: Readonly<Record<string, string>> = {
  'Content-Security-Policy': contentSecurityPolicy,
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
  'Cache-Control': 'no-cache',
};

interface SiteServerOptions {
  readonly site: Site;
  readonly allowedHosts: AllowedHosts;
  /** Hears of what goes wrong on our side. */
  readonly report: (message: string) => void;
  readonly limits?: Limits;
  /** It speaks TLS, and proves with this who it is. Absent: plain HTTP. */
  readonly identity?: Identity;
}

/** One that does not listen yet. */
export function createSiteServer(options: SiteServerOptions): Server {
  const { limits = usualLimits, identity } = options;
  const settings: ServerOptions = {
    headersTimeout: limits.headersMs,
    requestTimeout: limits.requestMs,
    keepAliveTimeout: limits.betweenRequestsMs,
    connectionsCheckingInterval: limits.checkMs,
    // That is for us to refuse, in words.
    requireHostHeader: false,
  };
  const server = identity
    ? createTlsServer({ ...settings, ...identity, handshakeTimeout: limits.headersMs })
    : createServer(settings);
  server.timeout = limits.stillMs;
  server.maxConnections = limits.connections;
  const connections = new Connections(options, limits);
  const take = (request: IncomingMessage, response: ServerResponse): void =>
    connections.take(request, response);
  server.on('connection', (socket) => traceSocket('web', socket));
  server.on('request', take);
  // Of an expectation that nobody knows: it is ignored.
  server.on('checkExpectation', take);
  server.on('clientError', (error, socket) => connections.refuse(error, socket));
  return server;
}

/** Those that have requests to be answered. */
class Connections {
  private readonly queues = new WeakMap<Duplex, { waiting: number; last: Promise<void> }>();

  constructor(
    private readonly options: SiteServerOptions,
    private readonly limits: Limits,
  ) {}

  take(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    // Its client has gone; what its connection goes on to say comes with 'close'.
    response.on('error', () => {});
    const queue = this.queues.get(socket) ?? { waiting: 0, last: Promise.resolve() };
    this.queues.set(socket, queue);
    if (queue.waiting >= this.limits.requestsAhead) {
      socket.destroy();
      return;
    }
    queue.waiting++;
    queue.last = queue.last.then(async () => {
      await this.answer(request, response, socket);
      queue.waiting--;
    });
  }

  /** Never rejects. */
  private async answer(request: IncomingMessage, response: ServerResponse, socket: Socket): Promise<void> {
    if (socket.destroyed) return;
    try {
      await answer(request, response, this.options);
    } catch (error) {
      this.options.report(`internal error: ${(error as Error).message}`);
      socket.destroy();
    }
  }

  /** What has come is not HTTP, or has not come in time. */
  refuse(error: NodeJS.ErrnoException, socket: Duplex): void {
    const isBetweenAnswers = (this.queues.get(socket)?.waiting ?? 0) === 0;
    if (socket.writable && isBetweenAnswers && !isHandshakeError(error)) {
      const status = statusOfError[error.code ?? ''] ?? 400;
      const headers = Object.entries({ ...everyAnswer, Connection: 'close', 'Content-Length': '0' });
      const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`);
      socket.write(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n`);
    }
    socket.destroy();
  }
}

/** There is no TLS, and so nothing that an answer could go out by. */
function isHandshakeError({ code = '' }: NodeJS.ErrnoException): boolean {
  return /^ERR_(SSL|TLS)_/.test(code);
}

const statusOfError: Readonly<Record<string, number>> = {
  ERR_HTTP_REQUEST_TIMEOUT: 408,
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
};

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { site, allowedHosts }: SiteServerOptions,
): Promise<void> {
  for (const [name, value] of Object.entries(everyAnswer)) response.setHeader(name, value);
  const host = authorityOf(request);
  if (host === undefined) return answerInWords(response, 400, 'A request must name one host.');
  if (!allowedHosts.has(host, request.socket.localAddress)) {
    const hint = 'If that is a name of this machine, start it with --allow-host NAME.';
    return answerInWords(response, 421, `'${host}' is not a host that blockyard web answers for. ${hint}`);
  }
  const { method, url = '' } = request;
  if (method !== 'GET' && method !== 'HEAD') {
    response.setHeader('Allow', 'GET, HEAD');
    return answerInWords(response, 405);
  }
  const found = site.find(url);
  if (found === undefined) return answerInWords(response, 404);
  if (found === 'offer') return answerWithText(response, 200, 'application/json', site.offer);
  const refusal = await answerWithFile(request, response, found);
  if (refusal !== undefined) answerInWords(response, refusal);
}

function answerInWords(response: ServerResponse, status: number, words = STATUS_CODES[status]): void {
  answerWithText(response, status, 'text/plain;charset=utf-8', `${words}\n`);
}

function answerWithText(response: ServerResponse, status: number, type: string, text: string): void {
  response.setHeader('Content-Type', type);
  response.setHeader('Content-Length', Buffer.byteLength(text));
  response.writeHead(status).end(text);
}
