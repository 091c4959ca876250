/** What `help` in place of a device, or behind its model, gives: on the command line and in the human monitor. */
import { type DeviceType, findDeviceType } from './device-type.ts';
import type { PropertySpec, PropertyValue } from './property.ts';

/** How options ask for help: as a value without a name, or as a name without a value. */
export const helpNames: readonly string[] = ['help', '?'];

/**
 * The answer to `options`, if they ask for help: the models that there are, or the properties of one. Errors: BlockError, there
 * is no such model.
 */
export function deviceHelp(
  types: readonly DeviceType[],
  options: Readonly<Record<string, unknown>>,
): string | undefined {
  const driver = String(options['driver']);
  if (helpNames.includes(driver)) return describeModels(types);
  if (!helpNames.some((name) => name in options)) return undefined;
  return describeProperties(findDeviceType(types, driver, `Device '${driver}' not found`));
}

function describeModels(types: readonly DeviceType[]): string {
  const line = ({ name, busKind, aliases, description }: DeviceType): string =>
    [
      `name "${name}"`,
      `bus ${busKind}`,
      ...(aliases ?? []).map((alias) => `alias "${alias}"`),
      ...(description === undefined ? [] : [`desc "${description}"`]),
    ].join(', ');
  return `Storage devices:\n${types.map(line).join('\n')}\n`;
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

function describeProperties({ name, properties }: DeviceType): string {
  const lines = properties.map((spec) => describeProperty(spec)).sort();
  return `${name} options:\n${lines.join('\n')}\n`;
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
