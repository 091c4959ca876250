/** blockdev-close-tray: closes the tray of a drive; harmless without one (specification: graph, section 11). */
import { closeTray } from '../../machine/media.ts';
import { optional, str, struct } from '../../qapi/types.ts';
import { backendOf } from '../device-backend.ts';
import { defineMachineCommand } from '../machine-command.ts';

export const blockdevCloseTray = defineMachineCommand({
  name: 'blockdev-close-tray',
  args: struct('BlockdevCloseTrayArguments', { device: optional(str), id: optional(str) }),
  async run(_machine, args, context) {
    const { backend, name } = backendOf(context, args);
    closeTray(backend, name);
    return {};
  },
});
