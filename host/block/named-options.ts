/**
 * The options that a file name stands for, with options on top of it (specification: graph, sections 2 and 6).
 *
 * A name belongs to the protocol at the bottom: `disk.qcow2` under the options `{driver: qcow2, file: {locking: off}}` is
 * `{driver: qcow2, file: {driver: file, filename: disk.qcow2, locking: off}}`. Of options and name, both may say something, but
 * not the same. `json:` names are options themselves; what is on top of them counts more. Nothing is opened here; of a plain name,
 * the kind of the file that is there tells the driver.
 */
import { invalid } from '../base/errors.ts';
import type { Files } from '../platform/platform.ts';
import { nestDottedKeys } from '../qapi/dotted-keys.ts';
import { parseJsonFilename } from '../qapi/json-filename.ts';
import { isJsonObject } from '../qapi/json-value.ts';
import type { DriverDefinition } from './driver.ts';
import type { DriverRegistry } from './driver-registry.ts';
import type { NodeOptions } from './options.ts';

/** What names are looked up in. */
interface Known {
  readonly drivers: DriverRegistry;
  readonly files: Files;
}

/**
 * What opens `filename` with the nested `options`. Without a driver in either, the format is still to be probed.
 * `named`: an image has named the file, and does not say how it is accessed. Errors: BlockError.
 */
export async function optionsOfFilename(
  known: Known,
  filename: string,
  options: NodeOptions,
  { namedByImage = false } = {},
): Promise<NodeOptions> {
  if (filename.startsWith('json:')) {
    const described = nestDottedKeys<unknown>(parseJsonFilename(filename));
    return onTop(namedByImage ? withoutAccess(described) : described, options);
  }
  const { driver } = options;
  if (typeof driver === 'string') return withFilename(known, known.drivers.get(driver), filename, options);
  return { ...options, file: await storageOptions(known, filename, options['file']) };
}

/**
 * Whether the options of a backing file leave it to the image to say which file it is: as long as they do not name the
 * one that they read, with more or other layers than the image's own though it may be.
 */
export function leavesFileToImage(drivers: DriverRegistry, option: NodeOptions): boolean {
  const { driver, file } = nestDottedKeys<unknown>(option);
  if (isJsonObject(file)) {
    const inner = nestDottedKeys<unknown>(file);
    return inner['filename'] === undefined && takesFilenames(drivers, inner['driver']);
  }
  return takesFilenames(drivers, driver);
}

/** Protocols that QEMU does not have, or that find their file by more than a name, keep what their options say. */
function takesFilenames(drivers: DriverRegistry, driver: unknown): boolean {
  const definition = typeof driver === 'string' ? drivers.find(driver) : undefined;
  if (definition?.kind !== 'protocol') return true;
  const { members } = definition.options;
  return (
    definition.parseFilename !== undefined &&
    members.every(({ name, optional }) => optional || name === 'filename')
  );
}

async function withFilename(
  known: Known,
  definition: DriverDefinition,
  filename: string,
  options: NodeOptions,
): Promise<NodeOptions> {
  if (definition.kind !== 'protocol' && definition.filenamePrefix === undefined) {
    return { ...options, file: await storageOptions(known, filename, options['file']) };
  }
  const named = definition.parseFilename?.(filename) ?? { filename };
  return { ...together(named, options), driver: definition.name };
}

/** What a format's file is, of which the options say `given`. */
async function storageOptions(known: Known, filename: string, given: unknown): Promise<NodeOptions> {
  if (given !== undefined && !isJsonObject(given)) {
    throw invalid('Cannot reference an existing block device with additional options or a new filename');
  }
  const options = nestDottedKeys<unknown>(given ?? {});
  const { driver } = options;
  const { drivers, files } = known;
  const definition =
    typeof driver === 'string' ? drivers.get(driver) : await drivers.protocolFor(files, filename);
  return withFilename(known, definition, filename, options);
}

/** What two say about one node, each about something else. */
function together(named: NodeOptions, options: NodeOptions): NodeOptions {
  const both: Record<string, unknown> = { ...options };
  for (const [name, value] of Object.entries(named)) {
    const given = options[name];
    if (given === undefined) both[name] = value;
    else if (isJsonObject(value) && isJsonObject(given)) both[name] = together(value, given);
    else throw invalid("Can't specify 'file' and 'filename' options at the same time");
  }
  return both;
}

/** Whatever `options` say counts more. */
function onTop(described: NodeOptions, options: NodeOptions): NodeOptions {
  const both: Record<string, unknown> = { ...described };
  for (const [name, value] of Object.entries(options)) {
    const below = nested(described[name]);
    both[name] = isJsonObject(value) && below ? onTop(below, nestDottedKeys(value)) : value;
  }
  return both;
}

function nested(value: unknown): NodeOptions | undefined {
  return isJsonObject(value) ? nestDottedKeys<unknown>(value) : undefined;
}

/** Without what would make it writable against the defaults, at any depth. */
function withoutAccess(options: NodeOptions): NodeOptions {
  const others = Object.entries(options).filter(
    ([name]) => !/^(.*\.)?(read-only|auto-read-only)$/s.test(name),
  );
  return Object.fromEntries(others.map(([name, value]) => [name, withoutAccessWithin(value)]));
}

function withoutAccessWithin(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutAccessWithin);
  return isJsonObject(value) ? withoutAccess(value) : value;
}
