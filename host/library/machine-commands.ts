/**
 * Commands of the library's monitor that keep the machine in its disks and bring it back. They are our own: QEMU has jobs for
 * this, and no emulator in a page.
 */
import { invalid } from '../base/errors.ts';
import type { SavedMachines } from '../machine/saved-machines.ts';
import { loadPart } from '../platform/platform.ts';
import { str, struct } from '../qapi/types.ts';
import type { AnyCommand } from '../qmp/command.ts';
import { defineMachineCommand } from '../qmp/machine-command.ts';

const args = struct('x-machine-arg', { name: str });

/** `isAttached`: whether there is an emulator. */
export function savedMachineCommands(isAttached: () => boolean): readonly AnyCommand[] {
  const actions = {
    'x-machine-save': (machines: SavedMachines, name: string) => machines.save(name),
    'x-machine-load': (machines: SavedMachines, name: string) => machines.load(name),
    'x-machine-delete': (machines: SavedMachines, name: string) => machines.delete(name),
  };
  return Object.entries(actions).map(([command, act]) =>
    defineMachineCommand({
      name: command,
      args,
      async run(machine, { name }) {
        if (!isAttached()) throw invalid('There is no emulator');
        const { SavedMachines } = await loadPart(
          machine.graph.platform,
          () => import('../machine/saved-machines.ts'),
        );
        await act(new SavedMachines(machine), name);
        return {};
      },
    }),
  );
}
