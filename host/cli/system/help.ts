/** What `-help`, `-version` and the lists behind `help` arguments print. */
import { deviceTypes } from '../../machine/device-types.ts';
import { machineTypes } from '../../machine/machine-types.ts';
import type { PropertySpec, PropertyValue } from '../../machine/property.ts';
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

const busNames: Readonly<Record<string, string>> = { 'floppy-bus': 'floppy-bus' };

export function printDevices(tool: Tool): void {
  const line = ({ name, busKind, aliases, description }: (typeof deviceTypes)[number]): string =>
    [
      `name "${name}"`,
      `bus ${busNames[busKind] ?? busKind}`,
      ...(aliases ?? []).map((alias) => `alias "${alias}"`),
      ...(description === undefined ? [] : [`desc "${description}"`]),
    ].join(', ');
  tool.out(`Storage devices:\n${deviceTypes.map(line).join('\n')}\n`);
}

const onErrorHelp = 'Error handling policy (report/ignore/enospc/stop/auto)';
const blockSizeHelp = 'A power of two between 512 B and 2 MiB';

/** By the name of a property, or of its type. */
const descriptions: Readonly<Record<string, string>> = {
  addr: 'Slot and optional function number, example: 06.0 or 06',
  drive: 'Node name or ID of a block device to use as a backend',
  logical_block_size: blockSizeHelp,
  physical_block_size: blockSizeHelp,
  'x-max-bounce-buffer-size':
    'Maximum buffer size allocated for bounce buffers used for mapped access to indirect DMA memory',
  bool: 'on/off',
  OnOffAuto: 'on/off/auto',
  BlockdevOnError: onErrorHelp,
  BiosAtaTranslation: 'Logical CHS translation algorithm  (auto/none/lba/large/rechs)',
  FloppyDriveType: 'Floppy drive type (144/288/120/none/auto)',
  IOThreadVirtQueueMappingList:
    'IOThread virtqueue mapping list [{"iothread":"<id>", "vqs":[1,2,3,...]},...]',
};

/** `-device MODEL,help` */
export function printDeviceProperties(tool: Tool, type: (typeof deviceTypes)[number]): void {
  const lines = type.properties.map((spec) => describeProperty(spec)).sort();
  tool.out(`${type.name} options:\n${lines.join('\n')}\n`);
}

function describeProperty({ name, typeName, initial }: PropertySpec): string {
  const option = `  ${name}=<${typeName}>`;
  const description = descriptions[name] ?? descriptions[typeName];
  const fallback = defaultText(name, initial);
  if (description === undefined && fallback === '') return option;
  return `${option.padEnd(24)} - ${description ?? ''}${fallback}`;
}

function defaultText(name: string, initial: PropertyValue): string {
  // Set beside the others, and without one.
  if (name.startsWith('bootindex') || initial === '' || typeof initial === 'object') return '';
  return ` (default: ${typeof initial === 'boolean' ? (initial ? 'on' : 'off') : initial})`;
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
