/**
 * `--chardev BACKEND,id=ID,…`: from option string to chardev. Each backend lists the options it honours; all others are
 * refused by name.
 */
import { type BlockError, invalid } from '../../base/errors.ts';
import { withoutUndefined } from '../../base/without-undefined.ts';
import type { BlockGraph } from '../../block/graph.ts';
import { objectTableOf } from '../../block/object-table.ts';
import { secureClients } from '../../exports/server-tls.ts';
import type { SocketAddress } from '../../platform/sockets.ts';
import { type Secure, secureServer } from '../../platform/tls.ts';
import { OptionValues, parseQemuOpts, type QemuOption } from '../../qapi/qemu-opts.ts';
import type { Chardev } from './chardev.ts';
import { openFileChardev, openPipeChardev } from './file.ts';
import { withLog } from './log.ts';
import { NullChardev } from './null.ts';
import { connect, keepConnecting, listen } from './socket.ts';
import { StdioChardev } from './stdio.ts';

export interface ChardevServices {
  /** Whether the process is to leave its terminal. */
  daemonize: boolean;
  /** Whose objects say how connections are made secure. */
  graph: BlockGraph;
  warn(message: string, hint?: string): void;
  /** Something is waited for. */
  info(message: string): void;
  /** Something has failed later. */
  report(message: string): void;
}

interface Backend {
  options: readonly QemuOption[];
  open(values: OptionValues, services: ChardevServices, id: string): Chardev | Promise<Chardev>;
}

const string = (name: string): QemuOption => ({ name, type: 'string' });
const bool = (name: string): QemuOption => ({ name, type: 'bool' });
const number = (name: string): QemuOption => ({ name, type: 'number' });

/** Those of every chardev. */
const commonOptions = [string('backend'), string('logfile'), bool('logappend'), bool('mux')];

export const chardevBackends: Readonly<Record<string, Backend>> = {
  null: { options: [], open: () => new NullChardev() },
  stdio: {
    options: [bool('signal')],
    open: (values, { daemonize }) => {
      if (daemonize) throw invalid('cannot use stdio with -daemonize');
      return new StdioChardev(values.bool('signal') ?? true);
    },
  },
  file: {
    options: [string('path'), bool('append')],
    open: (values) => {
      const path = values.string('path');
      if (path === undefined) throw invalid('chardev: file: no filename given');
      return openFileChardev(path, values.bool('append') ?? false);
    },
  },
  pipe: {
    options: [string('path')],
    open: (values) => {
      const path = values.string('path');
      if (path === undefined) throw invalid('chardev: pipe: no device path given');
      return openPipeChardev(path);
    },
  },
  socket: {
    options: [
      ...['path', 'host', 'port', 'fd', 'tls-creds', 'tls-authz'].map(string),
      ...['server', 'wait', 'nodelay', 'delay', 'ipv4', 'ipv6', 'telnet', 'websocket', 'tn3270'].map(bool),
      ...['to', 'reconnect', 'reconnect-ms'].map(number),
    ],
    open: openSocket,
  },
};

/** Backends that QEMU has and we do not. */
const unsupported = [
  'udp',
  'pty',
  'ringbuf',
  'memory',
  'mux',
  'serial',
  'tty',
  'parallel',
  'parport',
  'testdev',
  'vc',
  'msmouse',
  'braille',
];

function openSocket(
  values: OptionValues,
  { graph, info, report }: ChardevServices,
  id: string,
): Chardev | Promise<Chardev> {
  const address = readAddress(values);
  if (values.bool('tn3270')) throw invalid('TN3270 is not supported');
  const secure = readSecurity(values, address, graph);
  // Small pieces are sent at once.
  const noDelay = values.bool('nodelay') ?? !(values.bool('delay') ?? true);
  const telnet = values.bool('telnet') ?? false;
  const options = { noDelay, telnet, ...withoutUndefined({ secure }) };
  const webSocket = values.bool('websocket') ?? false;
  if (!values.bool('server')) {
    if (webSocket) throw invalid('Websocket client is not implemented');
    if (values.bool('wait') !== undefined) {
      throw invalid("'wait' option is incompatible with socket in client connect mode");
    }
    const delayMs = readDelay(values);
    if (delayMs === 0) return connect(address, options);
    return keepConnecting(address, { ...options, delayMs }, (reason) =>
      report(`Unable to connect character device ${id}: ${reason}`),
    );
  }
  if (values.number('reconnect'))
    throw invalid("'reconnect' option is incompatible with socket in server listen mode");
  const waits = values.bool('wait') ?? true;
  return listen(
    address,
    {
      ...options,
      webSocket,
      refused: (reason) => report(`Refused a client of character device ${id}: ${reason}`),
    },
    waits ? (name) => info(`QEMU waiting for connection on: ${name}`) : undefined,
  );
}

/** `tls-creds` and `tls-authz`: how connections are made secure; undefined: they are not. */
function readSecurity(values: OptionValues, address: SocketAddress, graph: BlockGraph): Secure | undefined {
  const [id, authorization] = [values.string('tls-creds'), values.string('tls-authz')];
  if (id === undefined) {
    if (authorization !== undefined) throw invalid("'tls_authz' option requires 'tls_creds' option");
    return undefined;
  }
  const hostname = address.type === 'inet' ? address.host : undefined;
  const secure = values.bool('server')
    ? secureClients(graph, id, authorization)
    : secureServer(objectTableOf(graph).credentials(id, 'client'), hostname);
  if (address.type === 'unix') throw invalid("'tls_creds' option is incompatible with 'unix' address type");
  return secure;
}

/** Milliseconds until the next attempt to connect; 0: there is none. */
function readDelay(values: OptionValues): number {
  const [seconds, milliseconds] = [values.number('reconnect'), values.number('reconnect-ms')];
  if (seconds !== undefined && milliseconds !== undefined) {
    throw invalid("'reconnect' and 'reconnect-ms' are mutually exclusive");
  }
  return milliseconds ?? (seconds ?? 0) * 1000;
}

function readAddress(values: OptionValues): SocketAddress {
  const [path, host, fd] = ['path', 'host', 'fd'].map((name) => values.string(name));
  if ([path, host, fd].filter((value) => value !== undefined).length > 1) {
    throw invalid("None or one of 'path', 'fd' or 'host' option required.");
  }
  if (path !== undefined) return { type: 'unix', path };
  if (host !== undefined) {
    const port = values.string('port');
    if (port === undefined) throw invalid('chardev: socket: no port given');
    return {
      type: 'inet',
      host,
      port,
      ...withoutUndefined({ to: values.number('to'), family: readFamily(values) }),
    };
  }
  if (!/^\d+$/.test(fd ?? '')) throw invalid(`Unable to parse FD number ${fd ?? ''}`);
  return { type: 'fd', fd: Number(fd) };
}

/** Undefined: either. */
function readFamily(values: OptionValues): 4 | 6 | undefined {
  const [ipv4, ipv6] = [values.bool('ipv4'), values.bool('ipv6')];
  if (ipv4 === false && ipv6 === false) throw invalid('Cannot disable IPv4 and IPv6 at same time');
  // Who wants one does not want the other, unless they say so.
  const [wants4, wants6] = [ipv4 ?? ipv6 !== true, ipv6 ?? ipv4 !== true];
  if (wants4 === wants6) return undefined;
  return wants4 ? 4 : 6;
}

/** A chardev as an option string describes it, not opened yet. */
interface ChardevDescription {
  id: string;
  backend: string;
  /** Several users take turns on it. */
  isShared: boolean;
  open(): Chardev | Promise<Chardev>;
}

/** Reads the option string; `ownId` when that gives no id. Errors: BlockError. */
export function describeChardev(text: string, services: ChardevServices, ownId?: string): ChardevDescription {
  const { id = ownId, pairs } = parseQemuOpts(text, {
    impliedKey: 'backend',
    warn: (message, hint) => services.warn(message, hint),
  });
  const name = pairs.findLast((pair) => pair.name === 'backend')?.value;
  if (id === undefined) throw invalid('chardev: no id specified');
  if (name === undefined) throw invalid(`chardev: "${id}" missing backend`);
  const backend = Object.hasOwn(chardevBackends, name) ? chardevBackends[name] : undefined;
  if (!backend) throw unknownBackend(name);
  const values = new OptionValues(pairs, [...commonOptions, ...backend.options]);
  const open = (): Chardev | Promise<Chardev> => backend.open(values, services, id);
  const path = values.string('logfile');
  const append = values.bool('logappend') ?? false;
  return {
    id,
    backend: name,
    isShared: values.bool('mux') ?? false,
    open: path === undefined ? open : () => withLog({ path, append }, open),
  };
}

function unknownBackend(name: string): BlockError {
  if (unsupported.includes(name)) return invalid(`char driver '${name}' is not supported`);
  return invalid(`'${name}' is not a valid char driver name`);
}
