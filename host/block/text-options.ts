/**
 * Options of a node that came as flat text, `file.filename=a.img`: nested, and with values as the drivers declare them
 * (specification: cli, section 1).
 */
import { invalid } from '../base/errors.ts';
import type { JsonValue } from '../qapi/json-value.ts';
import { checkKeyval, parseBoolean } from '../qapi/keyval-values.ts';
import { struct } from '../qapi/types.ts';
import type { DriverRegistry } from './registry.ts';

type Options = Record<string, unknown>;

/** Throws BlockError for a value that is not of its type. */
export function readTextOptions(
  pairs: readonly { name: string; value: string }[],
  drivers: DriverRegistry,
): Options {
  const options: Options = {};
  for (const { name, value } of pairs) nest(options, name.split('.'), value);
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
    else if (member) {
      const given = member.type.kind === 'array' ? listed(value) : value;
      // As a member, so that errors name it.
      Object.assign(result, checkKeyval(struct('', { [name]: member.type }), { [name]: given as JsonValue }));
    } else if (typeof value === 'object' && value !== null) result[name] = typed(value as Options, drivers);
    else result[name] = value;
  }
  return result;
}

function cacheOptions(options: Options): Options {
  return Object.fromEntries(
    Object.entries(options).map(([name, value]) => [name, boolean(`cache.${name}`, value)]),
  );
}

function boolean(name: string, value: unknown): boolean {
  const parsed = typeof value === 'string' ? parseBoolean(value) : undefined;
  if (parsed === undefined) throw invalid(`Parameter '${name}' expects 'on' or 'off'`);
  return parsed;
}

/** A list that came as text is an object with the members `0`, `1`, … */
export function listed(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const elements: unknown[] = [];
  for (let index = 0; String(index) in value; index++)
    elements.push((value as Record<string, unknown>)[String(index)]);
  return elements;
}
