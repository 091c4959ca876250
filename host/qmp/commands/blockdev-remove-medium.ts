/** blockdev-remove-medium: takes the medium out of an open tray (specification: graph, section 11). */
import { removeMedium } from '../../machine/media.ts';
import { str, struct } from '../../qapi/types.ts';
import { backendOf } from '../device-backend.ts';
import { defineMachineCommand } from '../machine-command.ts';

export const blockdevRemoveMedium = defineMachineCommand({
  name: 'blockdev-remove-medium',
  args: struct('BlockdevRemoveMediumArguments', { id: str }),
  async run(_machine, { id }, context) {
    const { backend, name } = backendOf(context, { id });
    await removeMedium(backend, name);
    return {};
  },
});
