/** `-drive` with its short forms, and `-device`, on the command line. */
import { BlockError } from '../../base/errors.ts';
import { withoutUndefined } from '../../base/without-undefined.ts';
import type { DefaultDrives } from '../../machine/default-devices.ts';
import { deviceHelp, helpNames } from '../../machine/device-help.ts';
import { deviceTypes } from '../../machine/device-types.ts';
import { parseDrive } from '../../machine/drive-options.ts';
import type { Drive } from '../../machine/drives.ts';
import type { Machine } from '../../machine/machine.ts';
import { parseJson } from '../../qapi/json.ts';
import { isJsonObject, type JsonObject } from '../../qapi/json-value.ts';
import { parseQemuOpts } from '../../qapi/qemu-opts.ts';
import { ExitStatus } from '../shared/exit-status.ts';
import { refuseOptionsBesideNames } from '../shared/node-references.ts';
import type { Tool } from '../shared/tool.ts';
import type { Step } from './options.ts';

/** What a short form says beside the file. */
const shortForms: Readonly<Record<string, string>> = {
  operand: 'index=0,media=disk',
  hda: 'index=0,media=disk',
  hdb: 'index=1,media=disk',
  hdc: 'index=2,media=disk',
  hdd: 'index=3,media=disk',
  cdrom: 'index=2,media=cdrom',
  fda: 'if=floppy,index=0',
  fdb: 'if=floppy,index=1',
};

/** Errors: BlockError. */
export async function addDrive(
  tool: Tool,
  machine: Machine,
  { name, value }: Step,
  { context, snapshot }: { context: string; snapshot: boolean },
): Promise<Drive> {
  const form = shortForms[name];
  const text = form === undefined ? value : `${form},file=${value.replaceAll(',', ',,')}`;
  if (/(^|,)format=(help|\?)(,|$)/.test(text)) {
    tool.out(
      `Supported formats: ${machine.graph.drivers.definitions.map((driver) => driver.name).join(' ')}\n`,
    );
    throw new ExitStatus(0);
  }
  const warn = (message: string, hint?: string): void => tool.report(`${context}: warning: ${message}`, hint);
  const options = parseDrive(text, machine.options.type.drives, warn);
  refuseOptionsBesideNames(options.node, false);
  return machine.addDrive(snapshot ? { ...options, snapshot: true } : options, context);
}

/** Errors: BlockError. */
export async function addDevice(tool: Tool, machine: Machine, text: string, context: string): Promise<void> {
  if (text.startsWith('{')) {
    const options = parseJson(text);
    if (!isJsonObject(options)) throw new BlockError('EINVAL', 'Invalid parameter type, expected: object');
    await machine.addDevice(options, false);
    return;
  }
  const { id, pairs } = parseQemuOpts(text, {
    impliedKey: 'driver',
    bareNames: helpNames,
    warn: (message, hint) => tool.report(`${context}: warning: ${message}`, hint),
  });
  const options: JsonObject = Object.fromEntries(pairs.map(({ name, value }) => [name, value]));
  const help = deviceHelp(deviceTypes, options);
  if (help !== undefined) {
    tool.out(help);
    throw new ExitStatus(0);
  }
  await machine.addDevice({ ...options, ...withoutUndefined({ id }) }, true);
}

/** Which of the default drives the user's devices leave. */
export function replacesDefault(devices: readonly string[]): DefaultDrives {
  const models = devices.map((text) =>
    text.startsWith('{')
      ? /"driver"\s*:\s*"([^"]*)"/.exec(text)?.[1]
      : text.replace(/^driver=/, '').split(',', 1)[0],
  );
  const has = (...names: string[]): boolean => models.some((model) => names.includes(model ?? ''));
  return { cd: !has('ide-cd', 'ide-hd', 'scsi-cd', 'scsi-hd'), floppy: !has('isa-fdc', 'floppy') };
}
