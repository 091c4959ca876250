/** What `-help`, `-version` and the lists behind `help` arguments print. */
import { machineTypes } from '../../machine/machine-types.ts';
import { versionText } from '../../qmp/version.ts';
import type { Tool } from '../shared/tool.ts';
import { machineOptions } from './options.ts';

export function printVersion(tool: Tool): void {
  tool.out(`QEMU emulator version ${versionText}\n`);
}

export function printMachines(tool: Tool): void {
  tool.out('Supported machines are:\n');
  const lines = machineTypes.flatMap(({ name, aliases, description }) => [
    ...aliases.map((alias) => `${alias.padEnd(20)} ${description} (alias of ${name})`),
    `${name.padEnd(20)} ${description}${aliases.includes('pc') ? ' (default)' : ''}`,
  ]);
  tool.out(`${lines.sort().join('\n')}\n`);
}

/** What only this needs is loaded for it. */
export async function printHelp(tool: Tool): Promise<void> {
  const [{ fromTable }, { machineTexts }, { helpText }] = await Promise.all([
    import('../manual/machine-options.ts'),
    import('../manual/machine-texts.ts'),
    import('../manual/options.ts'),
  ]);
  tool.out(`usage: ${tool.name} [options] [disk_image]

'disk_image' is a raw hard disk image for IDE hard disk 0

The storage of a machine without a processor: block nodes, drives, devices, jobs
and both monitors.

${helpText(fromTable(machineOptions, machineTexts))}`);
}
