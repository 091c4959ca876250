/**
 * The options of a node: those that every node has, those of its driver, and what they come to.
 *
 * Options arrive in any dialect, text and JSON values mixed, and stay so in `node.options`, because file names show them
 * as they were given. Whatever acts on them takes what qapi/node-options.ts made of them.
 */
import { type BlockError, invalid } from '../base/errors.ts';
import { withoutUndefined } from '../base/without-undefined.ts';
import { refusedValue } from '../qapi/block-types.ts';
import { checkNodeOptions } from '../qapi/node-options.ts';
import {
  bool,
  type Checked,
  enumeration,
  optional,
  str,
  struct,
  type TypeOf,
  worded,
} from '../qapi/types.ts';
import type { DriverDefinition } from './driver.ts';
import type { ChildRole } from './edge.ts';
import type { OpenFlags } from './open-context.ts';

export type NodeOptions = Readonly<Record<string, unknown>>;

export const cacheOptions = struct('BlockdevCacheOptions', {
  direct: optional(bool),
  'no-flush': optional(bool),
});

/** What every node has. */
export const commonOptionsType = struct('BlockdevOptions', {
  driver: optional(str),
  'node-name': optional(str),
  discard: optional(
    worded(enumeration('', ['ignore', 'off', 'unmap', 'on']), { refused: () => 'Invalid discard option' }),
  ),
  cache: optional(cacheOptions),
  'read-only': optional(bool),
  'auto-read-only': optional(bool),
  active: optional(bool),
  'force-share': optional(bool),
  'detect-zeroes': optional(
    worded(enumeration('', ['off', 'on', 'unmap']), {
      refused: refusedValue,
    }),
  ),
});

type CommonOptions = TypeOf<typeof commonOptionsType>;

const commonNames: readonly string[] = commonOptionsType.members.map(({ name }) => name);

export function isCommonOption(name: string): boolean {
  return commonNames.includes(name);
}

/** Those that every node has. `driver`: for messages. Errors: BlockError. */
export function commonOptions(options: NodeOptions, driver?: DriverDefinition): Checked<CommonOptions> {
  const common = Object.entries(options).filter(([name]) => isCommonOption(name));
  return checkNodeOptions(commonOptionsType, Object.fromEntries(common), unsupportedBy(driver));
}

/** Without those that the driver does not know. */
export function knownOptions({ options: { members } }: DriverDefinition, options: NodeOptions): NodeOptions {
  return Object.fromEntries(
    Object.entries(options).filter(([option]) => members.some(({ name }) => name === option)),
  );
}

/** Those of the driver, without its children; whether it can have a backing file is asked when that is opened. Errors: BlockError, also for what nobody knows. */
export function ownOptions<O extends object>(
  definition: DriverDefinition<O>,
  options: NodeOptions,
  unknown: (name: string) => BlockError = unsupportedBy(definition),
): Checked<O> {
  const { children = [] } = definition;
  const own = Object.entries(options).filter(
    ([name]) => !isCommonOption(name) && name !== 'backing' && !children.some((child) => child.name === name),
  );
  return checkNodeOptions(definition.options, Object.fromEntries(own), unknown);
}

type Kind = Pick<DriverDefinition, 'name' | 'kind' | 'filenamePrefix'>;

/** Reached by a name of its own kind; a filter may be, too. */
export function isProtocol({ kind, filenamePrefix }: Kind): boolean {
  return kind === 'protocol' || filenamePrefix !== undefined;
}

/** The error about an option that a driver does not have. */
export function unsupportedBy(definition: Kind | undefined): (name: string) => BlockError {
  const of = definition?.name ?? '';
  return (name) =>
    invalid(
      definition && isProtocol(definition)
        ? `Block protocol '${of}' doesn't support the option '${name}'`
        : `Block format '${of}' does not support the option '${name}'`,
    );
}

const defaultFlags: OpenFlags = {
  readOnly: false,
  inactive: undefined,
  autoReadOnly: false,
  direct: false,
  noFlush: false,
  discard: false,
  detectZeroes: 'off',
  forceShare: false,
  aio: undefined,
  noIo: false,
  check: false,
};

/** How a node is to be open: as its options say, and where they say nothing, as `defaults` do. */
export function resolveFlags(options: Checked<CommonOptions>, defaults: Partial<OpenFlags>): OpenFlags {
  const { cache = {}, discard } = options;
  const flags: OpenFlags = {
    ...defaultFlags,
    ...defaults,
    ...withoutUndefined({
      readOnly: options['read-only'],
      autoReadOnly: options['auto-read-only'],
      direct: cache.direct,
      noFlush: cache['no-flush'],
      forceShare: options['force-share'],
      detectZeroes: options['detect-zeroes'],
      discard: discard && (discard === 'unmap' || discard === 'on'),
    }),
  };
  const inherited = defaults.inactive !== undefined;
  if (options.active === false || (inherited && options.active !== true)) {
    flags.inactive = { readOnly: flags.readOnly, inherited };
    flags.readOnly = true;
  } else {
    flags.inactive = undefined;
  }
  return flags;
}

/** Errors: zeroes are to be discarded, and discards ignored. */
export function checkDetectZeroes({ detectZeroes, discard }: OpenFlags): void {
  if (detectZeroes === 'unmap' && !discard) {
    throw invalid('setting detect-zeroes to unmap is not allowed without setting discard operation to unmap');
  }
}

/** What a child takes over from its parent when its own options say nothing. */
export function childDefaults(parent: OpenFlags, role: ChildRole): Partial<OpenFlags> {
  const { direct, noFlush, forceShare, aio, check, noIo, inactive } = parent;
  // What a filter compares or counts it has to read.
  const shared = {
    ...{ direct, noFlush, forceShare, aio, check },
    noIo: noIo && role !== 'image',
    discard: true,
  };
  if (role === 'cow') return { ...shared, readOnly: true, autoReadOnly: false, check: false, inactive };
  return {
    ...shared,
    readOnly: inactive?.readOnly ?? parent.readOnly,
    autoReadOnly: parent.autoReadOnly,
    inactive: inactive?.inherited ? inactive : undefined,
  };
}
