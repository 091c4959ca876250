/**
 * `--image-opts`: a disk image described by an option string instead of a file name (specification: cli, section 1).
 *
 * The string's dotted names become nested objects, and its values what the drivers' declarations say they are.
 */
import { invalid } from '../../base/errors.ts';
import type { DriverRegistry } from '../../block/registry.ts';
import type { Type } from '../../qapi/types.ts';
import { parseInteger, parseSize } from './numbers.ts';
import { splitOptionString } from './option-string.ts';
import type { Tool } from './tool.ts';

type Options = Record<string, unknown>;

/** `firstName`: what a first item without a name is a value of; the tools differ. */
export function parseImageOptions(
  text: string,
  drivers: DriverRegistry,
  tool: Tool,
  firstName: string | undefined,
): Options {
  const options: Options = {};
  splitOptionString(text).forEach(({ name, value }, index) => {
    if (value === undefined && index === 0 && firstName !== undefined) {
      nest(options, [firstName], name);
      return;
    }
    if (value === undefined) {
      tool.warn(`short-form boolean option '${name}' deprecated`, `Please use ${name}=on instead`);
    }
    nest(options, name.split('.'), value ?? 'on');
  });
  return typed(options, drivers);
}

function nest(options: Options, path: readonly string[], value: string): void {
  const [head, ...rest] = path as [string, ...string[]];
  if (rest.length === 0) {
    options[head] = value;
    return;
  }
  const inner = options[head];
  const target = typeof inner === 'object' && inner !== null ? (inner as Options) : {};
  options[head] = target;
  nest(target, rest, value);
}

const commonBooleans = new Set(['read-only', 'auto-read-only', 'force-share']);

/** Converts the values of one node and, inside it, of its children. */
function typed(options: Options, drivers: DriverRegistry): Options {
  const driver = typeof options.driver === 'string' ? drivers.find(options.driver) : undefined;
  const result: Options = {};
  for (const [name, value] of Object.entries(options)) {
    const member = driver?.options.members.find((candidate) => candidate.name === name);
    if (commonBooleans.has(name)) result[name] = boolean(name, value);
    else if (name === 'cache' && typeof value === 'object') result[name] = cacheOptions(value as Options);
    else if (member) result[name] = convert(name, member.type, value);
    else if (typeof value === 'object' && value !== null) result[name] = typed(value as Options, drivers);
    else result[name] = value;
  }
  return result;
}

function cacheOptions(options: Options): Options {
  return Object.fromEntries(
    Object.entries(options).map(([name, value]) => [name, boolean(`cache.${name}`, value)]),
  );
}

function convert(name: string, type: Type, value: unknown): unknown {
  if (typeof value !== 'string') return value;
  switch (type.kind) {
    case 'bool':
      return boolean(name, value);
    case 'int':
      return integer(name, value);
    default:
      return value;
  }
}

function boolean(name: string, value: unknown): boolean {
  if (value === 'on' || value === 'yes' || value === 'true' || value === 'y') return true;
  if (value === 'off' || value === 'no' || value === 'false' || value === 'n') return false;
  throw invalid(`Parameter '${name}' expects 'on' or 'off'`);
}

function integer(name: string, value: string): number {
  const parsed = parseSize(value);
  if (parsed.ok) return parsed.value;
  return parseInteger(value, Number.MAX_SAFE_INTEGER) ?? fail(`Parameter '${name}' expects a number`);
}

function fail(message: string): never {
  throw invalid(message);
}
