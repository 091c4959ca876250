/**
 * `blockyard web`: serves the page, what it needs of v86, and disk images for it, to browsers on this machine.
 *
 * Images are served read-only and by ranges, each under the name it was given; nothing else of their folders is. Whoever can
 * reach the port can read them, so it is opened on the loopback address unless told otherwise.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import sirv, { type RequestHandler } from 'sirv';
import { OptionReader, UsageError } from '../shared/getopt.ts';
import { ExitStatus, runTool, type Terminal, Tool } from '../shared/tool.ts';

const defaultPort = 8086;
const endingSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Where firmware is looked for when none is named: as Debian's `seabios` installs it. */
const firmwareFolder = '/usr/share/seabios';

/** The page runs our own scripts and WebAssembly, and reads images from wherever its user says. */
const contentSecurityPolicy = [
  "default-src 'self'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data: blob:",
  "worker-src 'self' blob:",
  'connect-src *',
].join('; ');

interface Options {
  host: string;
  port: number;
  /** By the name they have in the page. */
  images: Map<string, string>;
  bios: string | undefined;
  vgaBios: string | undefined;
}

export function main(argv: string[], programName: string, terminal?: Terminal): Promise<number> {
  const tool = new Tool(programName, terminal);
  return runTool(tool, async () => serve(tool, readOptions(tool, argv)));
}

const usage = `Usage: blockyard web [OPTIONS] [IMAGE …]

Serves a page that runs a machine on disks which can be backed up while it runs. IMAGEs can be
chosen in the page and are read, never written, over HTTP.

  --host ADDRESS    listen there instead of on 127.0.0.1
  --port PORT       listen on this port (${defaultPort}); 0: any that is free
  --bios FILE       firmware for machines that boot from a disk (${firmwareFolder}/bios.bin)
  --vga-bios FILE   firmware of the display (${firmwareFolder}/vgabios-stdvga.bin)
`;

function readOptions(tool: Tool, argv: readonly string[]): Options {
  const named = (long: string) => ({ long, argument: true }) as const;
  const reader = new OptionReader(argv, [
    { short: 'h', long: 'help' },
    ...['host', 'port', 'bios', 'vga-bios'].map(named),
  ]);
  const given = new Map<string, string>();
  try {
    for (const { name, value } of reader.options()) given.set(name, value);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    if (error.problem === 'missing-argument') tool.failUsage(`missing argument for option '${error.word}'`);
    tool.failUsage(`unrecognized option '${error.word}'`);
  }
  if (given.has('help')) {
    tool.out(usage);
    throw new ExitStatus(0);
  }
  const port = given.get('port') ?? String(defaultPort);
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) tool.fail(`--port: '${port}' is not a port`);
  return {
    host: given.get('host') ?? '127.0.0.1',
    port: Number(port),
    images: readImages(tool, reader.operands),
    bios: firmware(tool, given.get('bios'), 'bios.bin'),
    vgaBios: firmware(tool, given.get('vga-bios'), 'vgabios-stdvga.bin'),
  };
}

function readImages(tool: Tool, paths: readonly string[]): Map<string, string> {
  const images = new Map<string, string>();
  for (const path of paths) {
    const name = basename(path);
    if (images.has(name)) tool.fail(`'${path}': there are two images named '${name}'`);
    if (!isFile(path)) tool.fail(`'${path}' is not a file`);
    images.set(name, resolve(path));
  }
  return images;
}

function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function firmware(tool: Tool, path: string | undefined, usual: string): string | undefined {
  if (path !== undefined && !existsSync(path)) tool.fail(`'${path}' is not a file`);
  const chosen = path ?? join(firmwareFolder, usual);
  return existsSync(chosen) ? resolve(chosen) : undefined;
}

async function serve(tool: Tool, options: Options): Promise<number> {
  const server = createServer(handlerFor(tool, options));
  const { promise: ended, end } = ending();
  for (const signal of endingSignals) process.once(signal, end);
  try {
    await listen(tool, server, options);
    const { address, port, family } = server.address() as AddressInfo; // it listens
    const host = family === 'IPv6' ? `[${address}]` : address;
    tool.out(`blockyard is at http://${host}:${port}/\n`);
    await ended;
    return 0;
  } finally {
    for (const signal of endingSignals) process.off(signal, end);
    server.closeAllConnections();
    server.close();
  }
}

function ending(): { promise: Promise<void>; end: () => void } {
  let end: () => void = () => {};
  const promise = new Promise<void>((resolve) => {
    end = resolve;
  });
  return { promise, end };
}

function listen(tool: Tool, server: Server, { host, port }: Options): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      tool.report(`cannot listen on ${host}:${port}: ${error.message}`);
      reject(new ExitStatus(1));
    });
    server.listen(port, host, resolve);
  });
}

/** A file by itself, under any name. */
function single(path: string): RequestHandler {
  const handler = sirv(dirname(path), { dev: true, etag: true, dotfiles: true, extensions: [] });
  const own = `/${encodeURIComponent(basename(path))}`;
  return (request, response, next) => {
    request.url = own;
    handler(request, response, next);
  };
}

function handlerFor(
  tool: Tool,
  options: Options,
): (request: IncomingMessage, response: ServerResponse) => void {
  const own = (name: string): string => builtFolder(tool, name);
  const page = sirv(own('web'), { dev: true, etag: true });
  const library = sirv(own('browser'), { dev: true, etag: true });
  const v86 = sirv(v86Folder(tool), { dev: true, etag: true });
  const files = new Map<string, RequestHandler>();
  for (const [name, path] of options.images) files.set(`/images/${name}`, single(path));
  if (options.bios !== undefined) files.set('/firmware/bios.bin', single(options.bios));
  if (options.vgaBios !== undefined) files.set('/firmware/vgabios.bin', single(options.vgaBios));
  const offer = JSON.stringify({
    images: [...options.images].map(([name, path]) => ({ name, bytes: statSync(path).size })),
    firmware: options.bios !== undefined && options.vgaBios !== undefined,
  });

  return (request, response) => {
    response.setHeader('Content-Security-Policy', contentSecurityPolicy);
    response.setHeader('X-Content-Type-Options', 'nosniff');
    response.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
    const notFound = (): void => void response.writeHead(404).end('Not found\n');
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.writeHead(405, { Allow: 'GET, HEAD' }).end();
      return;
    }
    const path = pathOf(request);
    if (path === undefined) return notFound();
    const file = files.get(path);
    if (file) return file(request, response, notFound);
    if (path === '/offer.json') {
      response.writeHead(200, { 'Content-Type': 'application/json' }).end(offer);
      return;
    }
    const [, first] = path.split('/');
    const mounted = first === 'browser' ? library : first === 'v86' ? v86 : undefined;
    if (!mounted) return page(request, response, notFound);
    request.url = path.slice(first!.length + 1);
    mounted(request, response, notFound);
  };
}

/** Undefined when it is none. */
function pathOf({ url = '/' }: IncomingMessage): string | undefined {
  try {
    return decodeURIComponent(new URL(url, 'http://localhost').pathname);
  } catch {
    return undefined;
  }
}

/** A folder of the build: beside the bundle that runs, or below it when that is a chunk. */
function builtFolder(tool: Tool, name: string): string {
  const here = dirname(fileURLToPath(import.meta.url));
  const found = [here, dirname(here)]
    .map((folder) => join(folder, name))
    .find((folder) => existsSync(folder));
  return found ?? tool.fail(`the page is not there: '${join(here, name)}' does not exist`);
}

function v86Folder(tool: Tool): string {
  try {
    const require = createRequire(import.meta.url);
    const manifest = require.resolve('v86/package.json');
    readFileSync(manifest);
    return join(dirname(manifest), 'build');
  } catch {
    return tool.fail("the package 'v86' is not installed: npm install v86");
  }
}
