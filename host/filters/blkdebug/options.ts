/**
 * The options of blkdebug, its configuration file, and the rules that both make (specification: graph, section 4). In the file
 * `[inject-error]` or `[set-state]` opens a rule, and each value sets one of its members.
 */
import { type BlockError, type Errno, errnoNumbers, invalid } from '../../base/errors.ts';
import { sectorBytes } from '../../base/sectors.ts';
import { debugEvents } from '../../block/debug-events.ts';
import { refusedValue } from '../../qapi/block-types.ts';
import { type ConfigSection, parseConfigFile } from '../../qapi/config-file.ts';
import { checkNodeOptions } from '../../qapi/node-options.ts';
import {
  array,
  bool,
  byteCount,
  enumeration,
  int,
  optional,
  str,
  struct,
  type TypeOf,
  worded,
} from '../../qapi/types.ts';
import { ioTypes, type RuleSet } from './rules.ts';

const event = worded(enumeration('BlkdebugEvent', debugEvents), {
  refused: refusedValue,
  missing: 'Missing event name for rule',
});
const permissions = optional(
  array(enumeration('BlockPermission', ['consistent-read', 'write', 'write-unchanged', 'resize'])),
);

const injectOptions = struct('BlkdebugInjectErrorOptions', {
  event,
  state: optional(int),
  iotype: optional(worded(enumeration('BlkdebugIOType', ioTypes), { refused: refusedValue })),
  errno: optional(int),
  sector: optional(int),
  once: optional(bool),
  immediately: optional(bool),
});

const setStateOptions = struct('BlkdebugSetStateOptions', { event, state: optional(int), new_state: int });

export const blkdebugOptions = struct('BlockdevOptionsBlkdebug', {
  config: optional(str),
  align: optional(byteCount),
  'max-transfer': optional(byteCount),
  'opt-write-zero': optional(byteCount),
  'max-write-zero': optional(byteCount),
  'opt-discard': optional(byteCount),
  'max-discard': optional(byteCount),
  'inject-error': optional(array(injectOptions)),
  'set-state': optional(array(setStateOptions)),
  'take-child-perms': permissions,
  'unshare-child-perms': permissions,
});

export type BlkdebugOptions = TypeOf<typeof blkdebugOptions>;
type InjectOptions = TypeOf<typeof injectOptions>;
type SetStateOptions = TypeOf<typeof setStateOptions>;

/** Rules of the configuration file come first. Errors: a rule that cannot be. */
export function makeRules(options: BlkdebugOptions, config: string | undefined): RuleSet {
  const file = config === undefined ? { inject: [], setState: [] } : parseConfig(config);
  return {
    inject: [...file.inject, ...(options['inject-error'] ?? [])].map((rule) => ({
      event: rule.event,
      state: rule.state ?? 0,
      ioType: rule.iotype,
      errno: errnoOf(rule.errno ?? errnoNumbers.EIO),
      offset: rule.sector === undefined || rule.sector === -1 ? -1 : checkSector(rule.sector) * sectorBytes,
      once: rule.once === true,
      immediately: rule.immediately === true,
    })),
    setState: [...file.setState, ...(options['set-state'] ?? [])].map((rule) => ({
      event: rule.event,
      state: rule.state ?? 0,
      newState: rule.new_state,
    })),
  };
}

function checkSector(sector: number): number {
  if (sector < 0) throw invalid(`blkdebug has no sector ${sector}`);
  return sector;
}

/** Undefined for 0. */
function errnoOf(number: number): Errno | undefined {
  if (number === 0) return undefined;
  for (const [name, known] of Object.entries(errnoNumbers)) if (known === number) return name as Errno;
  throw invalid(`blkdebug cannot inject error number ${number}`);
}

const ruleTypes = { 'inject-error': injectOptions, 'set-state': setStateOptions } as const;
type Group = keyof typeof ruleTypes;

function parseConfig(text: string): { inject: InjectOptions[]; setState: SetStateOptions[] } {
  const sections = parseConfigFile(text, {
    checkGroup(name) {
      if (!Object.hasOwn(ruleTypes, name)) throw invalid(`There is no option group '${name}'`);
    },
    checkValue: (group, key, value) => checkLine(group as Group, key, value),
  });
  const ofGroup = (group: Group): ConfigSection[] => sections.filter((section) => section.group === group);
  return {
    inject: ofGroup('inject-error').map(({ values }) => checkNodeOptions(injectOptions, values, unknown)),
    setState: ofGroup('set-state').map(({ values }) =>
      checkNodeOptions(setStateOptions, { new_state: '0', ...values }, unknown),
    ),
  };
}

function unknown(key: string): BlockError {
  return invalid(`Invalid parameter '${key}'`);
}

/** What a value must be whatever else there is; names are looked at when the rules are made. */
function checkLine(group: Group, key: string, value: string): void {
  const type = ruleTypes[group];
  const member = type.members.find(({ name }) => name === key);
  if (!member) throw unknown(key);
  if (member.type.kind !== 'enum')
    checkNodeOptions({ ...type, members: [member] }, { [key]: value }, unknown);
}

const intMax = 2_147_483_647;

export interface DebugLimits {
  align: number;
  maxTransfer: number;
  optWriteZero: number;
  maxWriteZero: number;
  optDiscard: number;
  maxDiscard: number;
}

/** 0 where the options say nothing. `childAlignment` is what the image itself wants. Errors: what cannot be met. */
export function checkLimits(options: BlkdebugOptions, childAlignment: number): DebugLimits {
  const take = (name: keyof BlkdebugOptions & string, unit: number): number => {
    const value = (options[name] as number | undefined) ?? 0;
    const isSound = name === 'align' ? Number.isInteger(Math.log2(value)) : value % unit === 0;
    if (value !== 0 && (value >= intMax || !isSound))
      throw invalid(`Cannot meet constraints with ${name} ${BigInt.asUintN(64, BigInt(value))}`);
    return value;
  };
  const align = take('align', 1);
  const unit = Math.max(align, childAlignment);
  const maxTransfer = take('max-transfer', unit);
  const optWriteZero = take('opt-write-zero', unit);
  const maxWriteZero = take('max-write-zero', Math.max(unit, optWriteZero));
  const optDiscard = take('opt-discard', unit);
  const maxDiscard = take('max-discard', Math.max(unit, optDiscard));
  return { align, maxTransfer, optWriteZero, maxWriteZero, optDiscard, maxDiscard };
}
