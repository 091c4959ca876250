/** eject: opens the tray of a drive and takes the medium out (specification: graph, section 11). */
import { openTray, removeMedium } from '../../machine/media.ts';
import { bool, optional, str, struct } from '../../qapi/types.ts';
import { backendOf } from '../device-backend.ts';
import { defineMachineCommand } from '../machine-command.ts';

export const eject = defineMachineCommand({
  name: 'eject',
  args: struct('EjectArguments', { device: optional(str), id: optional(str), force: optional(bool) }),
  async run(_machine, args, context) {
    const { backend, name } = backendOf(context, args);
    openTray(backend, name, args.force ?? false);
    await removeMedium(backend, name);
    return {};
  },
});
