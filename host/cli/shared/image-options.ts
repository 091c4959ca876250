/**
 * `--image-opts`: a disk image described by an option string instead of a file name (specification: cli, section 1).
 *
 * The string's dotted names become nested objects, and its values what the drivers' declarations say they are.
 */
import type { DriverRegistry } from '../../block/registry.ts';
import { readTextOptions } from '../../block/text-options.ts';
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
  const { pairs } = parseQemuOpts(text, {
    warn: (message, hint) => tool.warn(message, hint),
    ...(firstName === undefined ? {} : { impliedKey: firstName }),
  });
  return readTextOptions(pairs, drivers);
}
