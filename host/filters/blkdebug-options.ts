/**
 * The options of blkdebug, its configuration file, and the rules that both make (specification: graph, section 4).
 *
 * The file is made of lines: `[inject-error]` or `[set-state]` opens a rule, `key = "value"` sets one of its members,
 * `#` starts a comment. A value without quotes counts as empty, as in QEMU.
 */
import { type Errno, errnoNumbers, invalid } from '../base/errors.ts';
import { type DebugEvent, debugEvents } from '../block/debug-events.ts';
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
} from '../qapi/types.ts';
import { type IoType, ioTypes, type RuleSet } from './blkdebug-rules.ts';

const refused = (text: string): string => `invalid parameter value: ${text}`;

const event = worded(enumeration('BlkdebugEvent', debugEvents), {
  refused,
  missing: 'Missing event name for rule',
});
const permissions = optional(
  array(enumeration('BlockPermission', ['consistent-read', 'write', 'write-unchanged', 'resize'])),
);

const injectOptions = struct('BlkdebugInjectErrorOptions', {
  event,
  state: optional(int),
  iotype: optional(worded(enumeration('BlkdebugIOType', ioTypes), { refused })),
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

const sectorBytes = 512;

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

const groups = {
  'inject-error': ['event', 'state', 'iotype', 'errno', 'sector', 'once', 'immediately'],
  'set-state': ['event', 'state', 'new_state'],
} as const;
type Group = keyof typeof groups;

interface Section {
  group: Group;
  id: string | undefined;
  values: Map<string, string>;
}

function parseConfig(text: string): { inject: InjectOptions[]; setState: SetStateOptions[] } {
  const sections = parseSections(text);
  const ofGroup = (group: Group): Section[] => sections.filter((section) => section.group === group);
  return {
    inject: ofGroup('inject-error').map(({ values }) => ({
      event: eventOf(values),
      state: numberOf(values, 'state'),
      iotype: ioTypeOf(values),
      errno: numberOf(values, 'errno'),
      sector: numberOf(values, 'sector'),
      once: booleanOf(values, 'once'),
      immediately: booleanOf(values, 'immediately'),
    })),
    setState: ofGroup('set-state').map(({ values }) => ({
      event: eventOf(values),
      state: numberOf(values, 'state'),
      new_state: numberOf(values, 'new_state') ?? 0,
    })),
  };
}

function parseSections(text: string): Section[] {
  const sections: Section[] = [];
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  for (const line of lines) {
    if (line === '' || line.startsWith('#')) continue;
    // Without an end the line break belongs to the name.
    const head = /^\[([^\]]+)/.exec(`${line}\n`)?.[1];
    if (head !== undefined) {
      sections.push(openSection(head, sections));
      continue;
    }
    const key = /^\s*(\S+)/.exec(line)?.[1];
    if (key === undefined) throw invalid('parse error');
    const section = sections.at(-1);
    if (!section) throw invalid('no group defined');
    if (!(groups[section.group] as readonly string[]).includes(key))
      throw invalid(`Invalid parameter '${key}'`);
    const value = /^\s*\S+\s*=\s*"([^"]*)"/.exec(line)?.[1] ?? '';
    // Of several values the last one counts.
    section.values.set(key, value);
    checkValue(key, value);
  }
  return sections;
}

function openSection(head: string, sections: readonly Section[]): Section {
  const [, name, id] = /^(.*?)(?: "([^"]*)")?$/s.exec(head)!; // everything is optional in it
  if (!(name! in groups)) throw invalid(`There is no option group '${name}'`);
  const group = name as Group;
  if (id !== undefined && sections.some((section) => section.group === group && section.id === id)) {
    throw invalid(`Duplicate ID '${id}' for ${group}`);
  }
  return { group, id, values: new Map() };
}

const numbers: readonly string[] = ['state', 'new_state', 'errno', 'sector'];
const booleans: readonly string[] = ['once', 'immediately'];

function checkValue(key: string, value: string): void {
  if (numbers.includes(key) && parseNumber(value) === undefined) {
    throw invalid(`Parameter '${key}' expects a number`);
  }
  if (booleans.includes(key) && parseSwitch(value) === undefined) {
    throw invalid(`Parameter '${key}' expects 'on' or 'off'`);
  }
}

function parseNumber(text: string): number | undefined {
  return /^\s*-?(0x[0-9a-f]+|\d+)$/i.test(text) ? toNumber(text.trim()) : undefined;
}

function toNumber(text: string): number {
  return text.startsWith('-') ? -Number(text.slice(1)) : Number(text);
}

function parseSwitch(text: string): boolean | undefined {
  if (['on', 'yes', 'true', 'y'].includes(text)) return true;
  return ['off', 'no', 'false', 'n'].includes(text) ? false : undefined;
}

function numberOf(values: ReadonlyMap<string, string>, key: string): number | undefined {
  const value = values.get(key);
  return value === undefined ? undefined : parseNumber(value);
}

function booleanOf(values: ReadonlyMap<string, string>, key: string): boolean | undefined {
  const value = values.get(key);
  return value === undefined ? undefined : parseSwitch(value);
}

function eventOf(values: ReadonlyMap<string, string>): DebugEvent {
  const name = values.get('event');
  if (name === undefined) throw invalid('Missing event name for rule');
  return memberOf(debugEvents, name);
}

function ioTypeOf(values: ReadonlyMap<string, string>): IoType | undefined {
  const name = values.get('iotype');
  return name === undefined ? undefined : memberOf(ioTypes, name);
}

function memberOf<T extends string>(names: readonly T[], name: string): T {
  const found = names.find((candidate) => candidate === name);
  if (found === undefined) throw invalid(`invalid parameter value: ${name}`);
  return found;
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
