/** Node as a platform: the operating system's clock, chance, files, codecs and network. */
import { writeSync } from 'node:fs';
import type { Console, Platform } from '../platform.ts';
import type { WebSockets } from '../websockets.ts';
import { ciphers } from './ciphers.ts';
import { clock } from './clock.ts';
import { codecs } from './codecs.ts';
import { nodeFetch } from './fetch.ts';
import { files } from './files.ts';
import { folders } from './folders.ts';
import { hashes } from './hashes.ts';
import { identity } from './identity.ts';
import { random } from './random.ts';
import { sockets } from './sockets.ts';
import { tls } from './tls/index.ts';

const terminal: Console = {
  stdout: (line) => void process.stdout.write(`${line}\n`),
  stderr: (line) => void process.stderr.write(`${line}\n`),
  error: (message) => void process.stderr.write(`${message}\n`),
  warn: (message) => void process.stderr.write(`warning: ${message}\n`),
  fatal(line) {
    // Nothing that is written by the event loop would still come out.
    writeSync(2, `${line}\n`);
    process.exit(1);
  },
};

/** Few need them, and they come with a library. */
const webSockets: WebSockets = {
  connect: async (...connecting) => (await import('./websockets.ts')).connectWebSocket(...connecting),
  listen: async (...listening) => (await import('./websockets.ts')).listenForWebSockets(...listening),
};

/** The operating system as Node has it. */
export const nodePlatform: Platform = {
  clock,
  random,
  files,
  folders,
  codecs,
  console: terminal,
  fetch: nodeFetch,
  sockets,
  tls,
  ciphers,
  hashes,
  webSockets,
  environment: process.env,
  identity,
  temporaryDirectory: process.env['TMPDIR'] ?? '/var/tmp',
  // That of the first thread.
  threadId: process.pid,
};
