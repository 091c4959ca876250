/**
 * `--image-opts`: a disk image described by an option string instead of a file name (specification: cli, section 1).
 *
 * The string's dotted names become nested objects, and its values what the drivers' declarations say they are.
 */
import { invalid } from '../../base/errors.ts';
import type { DriverRegistry } from '../../block/registry.ts';
import type { JsonValue } from '../../qapi/json-value.ts';
import { checkKeyval, parseBoolean } from '../../qapi/keyval-values.ts';
import { parseQemuOpts } from '../../qapi/qemu-opts.ts';
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
  const { pairs } = parseQemuOpts(text, {
    warn: (message, hint) => tool.warn(message, hint),
    ...(firstName === undefined ? {} : { impliedKey: firstName }),
  });
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
    else if (member) result[name] = checkKeyval(member.type, value as JsonValue);
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

function boolean(name: string, value: unknown): boolean {
  const parsed = typeof value === 'string' ? parseBoolean(value) : undefined;
  if (parsed === undefined) throw invalid(`Parameter '${name}' expects 'on' or 'off'`);
  return parsed;
}
