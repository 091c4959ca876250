/**
 * `-drive`: what its option string says, with QEMU's words for what is wrong with it (specification: graph, section 10).
 *
 * What `-drive` itself knows is taken out and read here; everything else belongs to the node and is left in `node`, as
 * nested text. Nothing is opened: drive-open.ts does that.
 */
import { invalid } from '../base/errors.ts';
import type { OnError } from '../block/error-policy.ts';
import { parseBoolean } from '../qapi/keyval-values.ts';
import { parseQemuOpts } from '../qapi/qemu-opts.ts';
import { type ThrottleConfig, validate } from '../throttle/config.ts';
import { configFromDrive, driveThrottleOptions, withoutAliases } from '../throttle/limit-names.ts';
import { type DriveInterface, interfaces } from './drives.ts';

/** What a drive is on a machine when nobody says. */
export interface DriveDefaults {
  interface: DriveInterface;
  /** IDE drives per bus. */
  idePerBus: number;
}

interface CacheMode {
  writeback?: boolean;
  direct?: boolean;
  noFlush?: boolean;
}

export interface DriveOptions {
  id: string | undefined;
  interface: DriveInterface;
  bus: number | undefined;
  unit: number | undefined;
  index: number | undefined;
  media: 'disk' | 'cdrom';
  file: string | undefined;
  format: string | undefined;
  readOnly: boolean;
  copyOnRead: boolean;
  snapshot: boolean;
  cache: CacheMode;
  rerror: OnError | undefined;
  werror: OnError | undefined;
  throttling: ThrottleConfig;
  throttleGroup: string | undefined;
  accountInvalid: boolean;
  accountFailed: boolean;
  /** Seconds. */
  statisticsIntervals: readonly number[];
  /** Options of the node, as text, dots and all. */
  node: Record<string, string>;
}

type Warn = (message: string, hint?: string) => void;

const cacheModes: Readonly<Record<string, Required<CacheMode>>> = {
  off: { writeback: true, direct: true, noFlush: false },
  none: { writeback: true, direct: true, noFlush: false },
  directsync: { writeback: false, direct: true, noFlush: false },
  writeback: { writeback: true, direct: false, noFlush: false },
  unsafe: { writeback: true, direct: false, noFlush: true },
  writethrough: { writeback: false, direct: false, noFlush: false },
};

/** Takes options one by one out of those given. */
class Options {
  constructor(private readonly given: Record<string, string>) {}

  /** Nobody has taken these. */
  get rest(): Record<string, string> {
    return { ...this.given };
  }

  take(name: string): string | undefined {
    const value = this.given[name];
    delete this.given[name];
    return value;
  }

  bool(name: string): boolean | undefined {
    const text = this.take(name);
    if (text === undefined) return undefined;
    const value = parseBoolean(text);
    if (value === undefined) throw invalid(`Parameter '${name}' expects 'on' or 'off'`);
    return value;
  }

  number(name: string): number | undefined {
    const text = this.take(name);
    if (text === undefined) return undefined;
    if (!/^\s*\+?(0x[0-9a-f]+|\d+)$/i.test(text)) throw invalid(`Parameter '${name}' expects a number`);
    return Number(text);
  }

  /** `PREFIX.0`, `PREFIX.1` … */
  list(prefix: string): string[] {
    const values: string[] = [];
    for (let value = this.take(`${prefix}.0`); value !== undefined; ) {
      values.push(value);
      value = this.take(`${prefix}.${values.length}`);
    }
    return values;
  }
}

/** Throws BlockError. */
export function parseDrive(text: string, defaults: DriveDefaults, warn: Warn): DriveOptions {
  const { id, pairs } = parseQemuOpts(text, { warn });
  return readDrive(id, Object.fromEntries(pairs.map(({ name, value }) => [name, value])), defaults, warn);
}

/** As parseDrive, for options that are apart already; uses up `given`. */
export function readDrive(
  id: string | undefined,
  given: Record<string, string>,
  defaults: DriveDefaults,
  warn: Warn,
): DriveOptions {
  if (given['readonly'] !== undefined) {
    if (given['read-only'] !== undefined) {
      throw invalid("'read-only' and its alias 'readonly' can't be used at the same time");
    }
    given['read-only'] = given['readonly'];
    delete given['readonly'];
  }
  const options = new Options(withoutAliases(given));
  const cache = readCache(options);
  const media = options.take('media') ?? 'disk';
  const readOnly = options.bool('read-only') ?? media === 'cdrom';
  let copyOnRead = options.bool('copy-on-read') ?? false;
  if (media !== 'disk' && media !== 'cdrom') throw invalid(`'${media}' invalid media`);
  if (readOnly && copyOnRead) {
    warn('disabling copy-on-read on read-only drive');
    copyOnRead = false;
  }
  const kind = (options.take('if') ?? defaults.interface) as DriveInterface;
  if (!interfaces.includes(kind)) throw invalid(`unsupported bus type '${kind}'`);
  const place = {
    bus: options.number('bus'),
    unit: options.number('unit'),
    index: options.number('index'),
  };
  checkPlace(kind, place, defaults);
  const policies = readPolicies(options, kind);
  return {
    id,
    interface: kind,
    ...place,
    media,
    readOnly,
    copyOnRead,
    cache,
    ...policies,
    file: options.take('file'),
    snapshot: options.bool('snapshot') ?? false,
    ...readStatistics(options),
    ...readThrottling(options),
    ...readNode(options),
  };
}

/** What is left is the node's. */
function readNode(options: Options): Pick<DriveOptions, 'format' | 'node'> {
  const aio = options.take('aio');
  if (aio !== undefined && !['threads', 'native', 'io_uring'].includes(aio)) {
    throw invalid('invalid aio option');
  }
  const discard = options.take('discard');
  const format = options.take('format');
  const node = options.rest;
  if (discard !== undefined) node['discard'] = readDiscard(discard);
  const zeroes = node['detect-zeroes'];
  if (zeroes !== undefined && !['off', 'on', 'unmap'].includes(zeroes)) {
    throw invalid(`invalid parameter value: ${zeroes}`);
  }
  if (format !== undefined && node['driver'] !== undefined) {
    throw invalid("Cannot specify both 'driver' and 'format'");
  }
  return { format, node: aio === undefined ? node : { ...node, 'file.aio': aio } };
}

function readCache(options: Options): CacheMode {
  const mode = options.take('cache');
  const base = mode === undefined ? {} : Object.hasOwn(cacheModes, mode) ? cacheModes[mode] : undefined;
  if (!base) throw invalid('invalid cache option');
  const own = {
    writeback: options.bool('cache.writeback'),
    direct: options.bool('cache.direct'),
    noFlush: options.bool('cache.no-flush'),
  };
  return { ...base, ...Object.fromEntries(Object.entries(own).filter(([, value]) => value !== undefined)) };
}

/** How many drives of an interface share a bus; undefined: they are just numbered. */
export function unitsPerBus(kind: DriveInterface, { idePerBus }: DriveDefaults): number | undefined {
  if (kind === 'ide') return idePerBus;
  return kind === 'scsi' ? 7 : undefined;
}

function checkPlace(
  kind: DriveInterface,
  { bus, unit, index }: Pick<DriveOptions, 'bus' | 'unit' | 'index'>,
  defaults: DriveDefaults,
): void {
  if (index !== undefined && (bus !== undefined || unit !== undefined)) {
    throw invalid('index cannot be used with bus and unit');
  }
  const max = unitsPerBus(kind, defaults);
  if (max !== undefined && unit !== undefined && unit >= max) {
    throw invalid(`unit ${unit} too big (max is ${max - 1})`);
  }
}

function readPolicies(options: Options, kind: DriveInterface): Pick<DriveOptions, 'rerror' | 'werror'> {
  const werror = options.take('werror');
  const rerror = options.take('rerror');
  const supported = ['ide', 'scsi', 'virtio', 'none'].includes(kind);
  if (werror !== undefined) {
    if (!supported) throw invalid('werror is not supported by this bus type');
    if (!['ignore', 'stop', 'report', 'enospc'].includes(werror)) {
      throw invalid(`'${werror}' invalid write error action`);
    }
  }
  if (rerror !== undefined) {
    if (!supported) throw invalid('rerror is not supported by this bus type');
    if (!['ignore', 'stop', 'report'].includes(rerror)) {
      throw invalid(`'${rerror}' invalid read error action`);
    }
  }
  return { werror: werror as OnError | undefined, rerror: rerror as OnError | undefined };
}

function readStatistics(
  options: Options,
): Pick<DriveOptions, 'accountInvalid' | 'accountFailed' | 'statisticsIntervals'> {
  const accountInvalid = options.bool('stats-account-invalid') ?? true;
  const accountFailed = options.bool('stats-account-failed') ?? true;
  const statisticsIntervals = options.list('stats-intervals').map((text) => {
    const seconds = Number(text);
    if (!/^\d+$/.test(text) || seconds === 0) throw invalid(`Invalid interval length: ${text}`);
    return seconds;
  });
  return { accountInvalid, accountFailed, statisticsIntervals };
}

function readThrottling(options: Options): Pick<DriveOptions, 'throttling' | 'throttleGroup'> {
  const numbers: Record<string, number> = {};
  const throttleGroup = options.take('throttling.group');
  for (const name of driveThrottleOptions) {
    if (name === 'throttling.group') continue;
    const value = options.number(name);
    if (value !== undefined) numbers[name] = value;
  }
  const throttling = configFromDrive(numbers);
  validate(throttling);
  return { throttling, throttleGroup };
}

function readDiscard(text: string): string {
  if (text === 'on' || text === 'unmap') return 'unmap';
  if (text === 'off' || text === 'ignore') return 'ignore';
  throw invalid('Invalid discard option');
}
