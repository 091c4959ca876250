/**
 * The command line of `nbd`, checked option by option as it is read (specification: nbd, section 6).
 *
 * What only other systems have is refused by name.
 */
import { invalid } from '../../base/errors.ts';
import { objectTableOf } from '../../block/object-table.ts';
import type { AioMode } from '../../platform/platform.ts';
import { type CacheMode, parseCacheMode } from '../shared/cache-mode.ts';
import { describeUsageError, OptionReader, type OptionSpec, UsageError } from '../shared/getopt.ts';
import { parseCount, parseInteger } from '../shared/numbers.ts';
import { parseSnapshotParam, type SnapshotParam } from '../shared/snapshot-param.ts';
import type { Tool } from '../shared/tool.ts';

export const specs = [
  { short: 'h', long: 'help' },
  { short: 'V', long: 'version' },
  { short: 'p', long: 'port', argument: true },
  { short: 'b', long: 'bind', argument: true },
  { short: 'k', long: 'socket', argument: true },
  { short: 'e', long: 'shared', argument: true },
  { short: 't', long: 'persistent' },
  { short: 'v', long: 'verbose' },
  { short: 'x', long: 'export-name', argument: true },
  { short: 'D', long: 'description', argument: true },
  { long: 'handshake-limit', argument: true },
  { short: 'o', long: 'offset', argument: true },
  { short: 'A', long: 'allocation-depth' },
  { short: 'B', long: 'bitmap', argument: true },
  { short: 'L', long: 'list' },
  { long: 'object', argument: true },
  { long: 'tls-creds', argument: true },
  { long: 'tls-authz', argument: true },
  { long: 'tls-hostname', argument: true },
  { short: 'T', long: 'trace', argument: true },
  { long: 'fork' },
  { long: 'pid-file', argument: true },
  { long: 'selinux-label', argument: true },
  { short: 'c', long: 'connect', argument: true },
  { short: 'd', long: 'disconnect' },
  { short: 'f', long: 'format', argument: true },
  { short: 'r', long: 'read-only' },
  { short: 's', long: 'snapshot' },
  { short: 'l', long: 'load-snapshot', argument: true },
  { short: 'n', long: 'nocache' },
  { long: 'cache', argument: true },
  { long: 'aio', argument: true },
  { long: 'discard', argument: true },
  { long: 'detect-zeroes', argument: true },
  { long: 'image-opts' },
] as const satisfies readonly OptionSpec[];

type Name = (typeof specs)[number]['long'];

/** What is to be served, where, and how long. */
export interface NbdCommandLine {
  /** Nothing else is to be done. */
  print: 'help' | 'version' | undefined;
  /** The exports of another server are to be listed; there is no file then. */
  list: boolean;
  file: string;
  imageOpts: boolean;
  format: string | undefined;
  readOnly: boolean;
  cache: CacheMode;
  discard: 'ignore' | 'unmap' | undefined;
  detectZeroes: 'off' | 'on' | 'unmap';
  aio: AioMode | undefined;
  snapshot: SnapshotParam | undefined;
  /** Bytes. */
  offset: number;
  port: string | undefined;
  bind: string | undefined;
  socket: string | undefined;
  /** Clients at the same time; 0: any number. */
  shared: number;
  persistent: boolean;
  verbose: boolean;
  name: string;
  description: string;
  /** Seconds. */
  handshakeLimit: number;
  allocationDepth: boolean;
  /** The last one comes first. */
  bitmaps: string[];
  tlsCreds: string | undefined;
  tlsAuthz: string | undefined;
  tlsHostname: string | undefined;
  fork: boolean;
  pidFile: string | undefined;
  /** What is written is gone afterwards. */
  temporary: boolean;
  /** A device of the kernel that is to be the disk. */
  device: string | undefined;
  /** The file is a device of the kernel that is to be no disk any more. */
  disconnect: boolean;
}

/** They are about what is served: a list of what somebody else serves does not go with them. */
const perDevice: readonly Name[] = [
  ...(['connect', 'disconnect', 'export-name', 'description', 'format', 'load-snapshot'] as const),
  ...(['allocation-depth', 'bitmap', 'nocache', 'cache', 'aio', 'discard'] as const),
];

/** What -v watches: who comes, and what is negotiated. */
const verboseEvents = ['connection_*', 'nbd_option*'];

const maxTextBytes = 4096;
const maxInt = 2 ** 31 - 1;
const detectZeroesModes = ['off', 'on', 'unmap'] as const;
const aioModes: readonly AioMode[] = ['native', 'io_uring', 'threads'];

const refused: Partial<Record<Name, string>> = {
  'selinux-label': 'SELinux labels (--selinux-label) are not supported',
};

/** Reports a mistake and ends. */
export async function readCommandLine(tool: Tool, argv: readonly string[]): Promise<NbdCommandLine> {
  const line = new LineReader(tool);
  const reader = new OptionReader(argv, specs);
  let isTraced = false;
  try {
    for (const { name, value } of reader.options()) {
      if (name === 'help' || name === 'version') return { ...line.values, print: name };
      if (name === 'object') await tool.addObject(value);
      else if (name === 'trace') {
        isTraced = true;
        (await tool.trace()).take(value);
      } else line.take(name as Name, value);
    }
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    tool.report(describeUsageError(error));
    tool.fail(`Try \`${tool.name} --help' for more information.`);
  }
  if (line.values.verbose) {
    isTraced = true;
    for (const pattern of verboseEvents) (await tool.trace()).take(pattern);
  }
  if (isTraced) (await tool.trace()).begin();
  const [file, ...more] = reader.operands;
  if (line.values.list) {
    line.checkList(file);
    await checkTls(tool, line.values);
    return line.values;
  }
  if (file === undefined || more.length > 0) {
    tool.fail('Invalid number of arguments', { hint: `Try \`${tool.name} --help' for more information.` });
  }
  line.values.file = file;
  await checkTls(tool, line.values);
  line.checkWhole();
  return line.values;
}

/** What is wrong with the objects for TLS is told before anything else is looked at. */
async function checkTls(tool: Tool, values: NbdCommandLine): Promise<void> {
  const { list, device, tlsCreds, tlsAuthz, tlsHostname } = values;
  if (tlsCreds === undefined) {
    if (tlsAuthz !== undefined) tool.fail('--tls-authz is not permitted without --tls-creds');
    if (tlsHostname !== undefined) tool.fail('--tls-hostname is not permitted without --tls-creds');
    return;
  }
  if (device !== undefined) tool.fail('TLS is not supported with a host device');
  const graph = await tool.createGraph();
  const endpoint = list ? 'client' : 'server';
  const find = async (): Promise<void> => void objectTableOf(graph).credentials(tlsCreds, endpoint);
  await tool.attempt(find, { context: 'Failed to get TLS creds' });
  if (list && tlsAuthz !== undefined) tool.fail('TLS authorization is incompatible with export list');
}

class LineReader {
  readonly values: NbdCommandLine = {
    print: undefined,
    list: false,
    file: '',
    imageOpts: false,
    format: undefined,
    readOnly: false,
    cache: parseCacheMode('writeback')!, // a mode that there is
    discard: undefined,
    detectZeroes: 'off',
    aio: undefined,
    snapshot: undefined,
    offset: 0,
    port: undefined,
    bind: undefined,
    socket: undefined,
    shared: 1,
    persistent: false,
    verbose: false,
    name: '',
    description: '',
    handshakeLimit: 10,
    allocationDepth: false,
    bitmaps: [],
    tlsCreds: undefined,
    tlsAuthz: undefined,
    tlsHostname: undefined,
    fork: false,
    pidFile: undefined,
    temporary: false,
    device: undefined,
    disconnect: false,
  };
  private readonly seen = new Set<Name>();
  private hasPerDevice = false;

  constructor(private readonly tool: Tool) {}

  take(name: Name, value: string): void {
    const { values, tool } = this;
    const refusal = refused[name];
    if (refusal !== undefined) tool.fail(refusal);
    this.hasPerDevice ||= perDevice.includes(name);
    switch (name) {
      case 'nocache':
        this.once('cache', '-n and --cache');
        this.setCache('none');
        break;
      case 'cache':
        this.once('cache', '-n and --cache');
        this.setCache(value);
        break;
      case 'aio':
        this.once('aio');
        values.aio = aioModes.find((mode) => mode === value) ?? tool.fail(`Invalid aio mode '${value}'`);
        break;
      case 'discard':
        this.once('discard');
        this.setDiscard(value);
        break;
      case 'detect-zeroes':
        this.setDetectZeroes(value);
        break;
      case 'shared':
        values.shared = this.count(value, 'shared device number');
        break;
      case 'handshake-limit':
        values.handshakeLimit = this.count(value, 'handshake limit');
        break;
      case 'offset':
        values.offset = this.bytes(value);
        break;
      case 'socket':
        if (!value.startsWith('/')) tool.fail('socket path must be absolute');
        values.socket = value;
        break;
      case 'load-snapshot':
        values.snapshot = parseSnapshotParam(tool, value, '`');
        values.readOnly = true;
        break;
      default:
        this.takePlain(name, value);
    }
  }

  /** Whether there is only what concerns a list. */
  checkList(file: string | undefined): void {
    const { values, tool, hasPerDevice } = this;
    if (file !== undefined) tool.fail('List mode is incompatible with a file name');
    if (hasPerDevice || values.offset > 0) tool.fail('List mode is incompatible with per-device settings');
    if (values.fork) tool.fail('List mode is incompatible with forking');
  }

  /** What concerns several options. */
  checkWhole(): void {
    const { values, tool } = this;
    if (values.imageOpts && values.format !== undefined)
      tool.fail('--image-opts and -f are mutually exclusive');
    if (Buffer.byteLength(values.name) > maxTextBytes) tool.fail(`export name '${values.name}' too long`);
    if (Buffer.byteLength(values.description) > maxTextBytes)
      tool.fail(`export description '${values.description}' too long`);
  }

  private takePlain(name: Name, value: string): void {
    const { values } = this;
    if (name === 'port') values.port = value;
    else if (name === 'bind') values.bind = value;
    else if (name === 'persistent') values.persistent = true;
    else if (name === 'verbose') values.verbose = true;
    else if (name === 'list') values.list = true;
    else if (name === 'export-name') values.name = value;
    else if (name === 'description') values.description = value;
    else if (name === 'allocation-depth') values.allocationDepth = true;
    else if (name === 'bitmap') values.bitmaps.unshift(value);
    else if (name === 'tls-creds') values.tlsCreds = value;
    else if (name === 'tls-authz') values.tlsAuthz = value;
    else if (name === 'tls-hostname') values.tlsHostname = value;
    else if (name === 'fork') values.fork = true;
    else if (name === 'pid-file') values.pidFile = value;
    else if (name === 'snapshot') values.temporary = true;
    else if (name === 'connect') values.device = value;
    else if (name === 'disconnect') values.disconnect = true;
    else if (name === 'format') values.format = value;
    else if (name === 'read-only') values.readOnly = true;
    else if (name === 'image-opts') values.imageOpts = true;
    else throw invalid(`--${name} is not supported`);
  }

  private once(name: Name, spelling = `--${name}`): void {
    if (this.seen.has(name)) this.tool.fail(`${spelling} can only be specified once`);
    this.seen.add(name);
  }

  private setCache(value: string): void {
    this.values.cache = parseCacheMode(value) ?? this.tool.fail(`Invalid cache mode \`${value}'`);
  }

  private setDiscard(value: string): void {
    if (value === 'unmap' || value === 'on') this.values.discard = 'unmap';
    else if (value === 'ignore' || value === 'off') this.values.discard = 'ignore';
    else this.tool.fail(`Invalid discard mode \`${value}'`);
  }

  private setDetectZeroes(value: string): void {
    const { tool, values } = this;
    const mode =
      detectZeroesModes.find((one) => one === value) ??
      tool.fail(`Failed to parse detect_zeroes mode: invalid parameter value: ${value}`);
    if (mode === 'unmap' && values.discard !== 'unmap') {
      tool.fail('setting detect-zeroes to unmap is not allowed without setting discard operation to unmap');
    }
    values.detectZeroes = mode;
  }

  private count(value: string, what: string): number {
    return parseInteger(value, maxInt) ?? this.tool.fail(`Invalid ${what} '${value}'`);
  }

  private bytes(value: string): number {
    const parsed = parseCount(value);
    if (parsed.ok && parsed.value <= Number.MAX_SAFE_INTEGER) return Number(parsed.value);
    if (!parsed.ok && parsed.problem === 'range')
      this.tool.fail(`Value '${value}' is out of range for parameter 'offset'`);
    return this.tool.fail(`Invalid offset '${value}'`);
  }
}
