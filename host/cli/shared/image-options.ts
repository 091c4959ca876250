/**
 * `--image-opts`: a disk image described by an option string instead of a file name (specification: cli, section 1).
 *
 * Names keep their dots and values are text: what they mean is for whoever opens the node.
 */
import { withoutUndefined } from '../../base/without-undefined.ts';
import type { NodeOptions } from '../../block/options.ts';
import { parseQemuOpts } from '../../qapi/qemu-opts.ts';
import type { Tool } from './tool.ts';

/** `firstName`: what a first item without a name is a value of; the tools differ. */
export function parseImageOptions(text: string, tool: Tool, firstName: string | undefined): NodeOptions {
  const { pairs } = parseQemuOpts(text, {
    warn: (message, hint) => tool.warn(message, hint),
    ...withoutUndefined({ impliedKey: firstName }),
  });
  return Object.fromEntries(pairs.map(({ name, value }) => [name, value]));
}
