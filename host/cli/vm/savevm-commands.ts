/** Commands of the human monitor that keep the machine in its disks and bring it back. */
import { invalid } from '../../base/errors.ts';
import type { SavedMachines } from '../../emulator/saved-machines.ts';
import type { CommandContext } from '../../qmp/command.ts';
import { type HmpCommand, optionalWord, word } from '../hmp/command.ts';

const two = (value: number): string => String(value).padStart(2, '0');

/** The name of a state that is given none: `vm-20260131235959`, in local time. */
function generatedName({ graph }: CommandContext): string {
  const date = new Date(graph.platform.clock.wallClock().seconds * 1000);
  const day = `${date.getFullYear()}${two(date.getMonth() + 1)}${two(date.getDate())}`;
  return `vm-${day}${two(date.getHours())}${two(date.getMinutes())}${two(date.getSeconds())}`;
}

/** `saved`: undefined until the guest is complete. */
export function savedMachineCommands(saved: () => SavedMachines | undefined): readonly HmpCommand[] {
  const machines = (): SavedMachines => {
    const found = saved();
    if (!found) throw invalid('The machine is not complete yet');
    return found;
  };
  return [
    {
      name: 'savevm',
      parameters: [optionalWord('name')],
      help: 'save a VM snapshot; a name is made up when none is given',
      async run(context, { name }) {
        await machines().save(name === undefined ? generatedName(context) : (name as string));
        return '';
      },
    },
    {
      name: 'loadvm',
      parameters: [word('name')],
      help: 'restore a VM snapshot from its tag',
      async run(_context, { name }) {
        await machines().load(name as string);
        return '';
      },
    },
    {
      name: 'delvm',
      parameters: [word('name')],
      help: 'delete a VM snapshot from its tag',
      async run(_context, { name }) {
        await machines().delete(name as string);
        return '';
      },
    },
  ];
}
