/** blockdev-open-tray: opens the tray of a drive (specification: graph, section 11). */
import { openTray } from '../../machine/media.ts';
import { bool, optional, str, struct } from '../../qapi/types.ts';
import { backendOf } from '../device-backend.ts';
import { defineMachineCommand } from '../machine-command.ts';

export const blockdevOpenTray = defineMachineCommand({
  name: 'blockdev-open-tray',
  args: struct('BlockdevOpenTrayArguments', {
    device: optional(str),
    id: optional(str),
    force: optional(bool),
  }),
  async run(_machine, args, context) {
    const { backend, name } = backendOf(context, args);
    openTray(backend, name, args.force ?? false);
    return {};
  },
});
