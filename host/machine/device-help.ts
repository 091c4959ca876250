/** What `help` in place of a device, or behind its model, gives: on the command line and in the human monitor. */
import { type DeviceType, findDeviceType } from './device-type.ts';

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

function describeProperties({ name: model, properties }: DeviceType): string {
  const lines = [...properties]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ name, typeName, initial }) => `  ${name}=<${typeName}>`.padEnd(24) + defaultText(initial));
  return `${model} options:\n${lines.join('\n')}\n`;
}

function defaultText(initial: string | number | boolean): string {
  if (initial === '') return '';
  return ` -  (default: ${typeof initial === 'string' ? `"${initial}"` : initial})`;
}
