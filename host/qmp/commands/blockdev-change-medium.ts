/** blockdev-change-medium: opens an image and puts it in place of the medium (specification: graph, section 11). */
import { changeMedium } from '../../machine/media.ts';
import { bool, enumeration, optional, str, struct } from '../../qapi/types.ts';
import { backendOf } from '../device-backend.ts';
import { defineMachineCommand } from '../machine-command.ts';

const readOnlyMode = enumeration('BlockdevChangeReadOnlyMode', ['retain', 'read-only', 'read-write']);

export const blockdevChangeMedium = defineMachineCommand({
  name: 'blockdev-change-medium',
  args: struct('BlockdevChangeMediumArguments', {
    device: optional(str),
    id: optional(str),
    filename: str,
    format: optional(str),
    force: optional(bool),
    'read-only-mode': optional(readOnlyMode),
  }),
  async run({ graph }, args, context) {
    const { filename, format, force = false, 'read-only-mode': mode = 'retain' } = args;
    const { backend, name } = backendOf(context, args);
    const readOnly = mode === 'retain' ? undefined : mode === 'read-only';
    await changeMedium(backend, name, { filename, format, readOnly, force }, graph);
    return {};
  },
});
