/**
 * QemuOpts, the dialect of QEMU's older options: a flat list `backend,id=x,path=a,,b,wait=off` (specification: cli,
 * section 1).
 *
 * Two commas stand for one. A bare name is a switch that is on, with a `no` in front off; both are deprecated, and say
 * so. Sizes take suffixes. The last of several equal names wins. `id` is every list's own.
 */
import { type BlockError, invalid } from '../base/errors.ts';
import { checkIdentifier } from './identifier.ts';
import { parseBoolean, parseInteger } from './keyval-values.ts';
import { isBeyondSizes, readSize, sizeHint } from './sizes.ts';

export interface QemuOption {
  readonly name: string;
  readonly type: 'string' | 'bool' | 'number' | 'size';
}

export interface OptionPair {
  name: string;
  value: string;
}

interface QemuOptions {
  id: string | undefined;
  /** In the order given. */
  pairs: readonly OptionPair[];
}

interface ParseOptions {
  /** The name of a first value that has none. */
  impliedKey?: string;
  /** Names that have no value: as switches they are not deprecated. */
  bareNames?: readonly string[];
  /** Gets deprecations. */
  warn?(message: string, hint: string): void;
}

/** Throws BlockError. */
export function parseQemuOpts(text: string, options: ParseOptions = {}): QemuOptions {
  let id: string | undefined;
  const pairs: OptionPair[] = [];
  splitAtCommas(text).forEach((item, index) => {
    const pair = readPair(item, index === 0 ? options.impliedKey : undefined, options);
    if (pair.name !== 'id') {
      pairs.push(pair);
      return;
    }
    if (id !== undefined) return;
    checkIdentifier(pair.value);
    id = pair.value;
  });
  return { id, pairs };
}

function readPair(
  item: string,
  impliedKey: string | undefined,
  { bareNames, warn }: ParseOptions,
): OptionPair {
  const equals = item.indexOf('=');
  if (equals >= 0) return { name: item.slice(0, equals), value: item.slice(equals + 1) };
  if (impliedKey !== undefined) return { name: impliedKey, value: item };
  if (bareNames?.includes(item)) return { name: item, value: 'on' };
  const off = item.startsWith('no');
  const pair = off ? { name: item.slice(2), value: 'off' } : { name: item, value: 'on' };
  warn?.(`short-form boolean option '${item}' deprecated`, `Please use ${pair.name}=${pair.value} instead`);
  return pair;
}

function splitAtCommas(text: string): string[] {
  const items: string[] = [];
  let item = '';
  for (let at = 0; at < text.length; at++) {
    if (text[at] !== ',') {
      item += text[at];
    } else if (text[at + 1] === ',') {
      item += ',';
      at++;
    } else {
      items.push(item);
      item = '';
    }
  }
  if (item !== '') items.push(item);
  return items;
}

/** The values of a list, checked against what may be in it: the last of each name. Throws BlockError. */
export class OptionValues {
  private readonly values = new Map<string, string | bigint | boolean>();

  constructor(pairs: readonly OptionPair[], known: readonly QemuOption[]) {
    for (const { name, value } of pairs) {
      const option = known.find((candidate) => candidate.name === name);
      if (!option) throw invalid(`Invalid parameter '${name}'`);
      this.values.set(name, readValue(option, value));
    }
  }

  string(name: string): string | undefined {
    return this.values.get(name) as string | undefined;
  }

  bool(name: string): boolean | undefined {
    return this.values.get(name) as boolean | undefined;
  }

  /** Beyond 2^53 the double next to it. */
  number(name: string): number | undefined {
    const value = this.values.get(name) as bigint | undefined;
    return value === undefined ? undefined : Number(value);
  }

  /** With all digits: 64 bits without a sign. Undefined for what is no number, too. */
  exactNumber(name: string): bigint | undefined {
    const value = this.values.get(name);
    return typeof value === 'bigint' ? value : undefined;
  }
}

const uint64Max = 2n ** 64n - 1n;

function readValue({ name, type }: QemuOption, text: string): string | bigint | boolean {
  switch (type) {
    case 'string':
      return text;
    case 'bool': {
      const value = parseBoolean(text);
      if (value === undefined) throw expects(name, "'on' or 'off'");
      return value;
    }
    case 'number': {
      const value = parseInteger(text);
      if (value === undefined) throw expects(name, 'a number');
      if (value > uint64Max || value < -uint64Max)
        throw invalid(`Value '${text}' is too large for parameter '${name}'`);
      return BigInt.asUintN(64, value);
    }
    case 'size': {
      const bytes = readSize(text);
      if (isBeyondSizes(text)) {
        throw invalid(`Value '${text}' is out of range for parameter '${name}'`);
      }
      if (bytes === undefined) throw expects(name, 'a non-negative number below 2^64', sizeHint);
      return bytes;
    }
  }
}

function expects(name: string, what: string, hint?: string): BlockError {
  return invalid(`Parameter '${name}' expects ${what}`, hint);
}
