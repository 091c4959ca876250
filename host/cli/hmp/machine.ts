/** Commands about the machine, its devices and its objects. */
import { asBlockError } from '../../base/errors.ts';
import { withoutUndefined } from '../../base/without-undefined.ts';
import { deviceHelp, helpNames } from '../../machine/device-help.ts';
import type { DeviceType } from '../../machine/device-type.ts';
import { parseJson } from '../../qapi/json.ts';
import { formatPrettyJson } from '../../qapi/json-output.ts';
import type { JsonObject } from '../../qapi/json-value.ts';
import { parseOption } from '../../qapi/keyval-values.ts';
import { parseQemuOpts } from '../../qapi/qemu-opts.ts';
import type { CommandContext } from '../../qmp/command.ts';
import { type Arguments, flag, type HmpCommand, optionalWord, qmp, silently, word } from './command.ts';

function options(text: string, impliedKey: string, bareNames: readonly string[]): Record<string, unknown> {
  const { id, pairs } = parseQemuOpts(text, { impliedKey, bareNames });
  return {
    ...Object.fromEntries(pairs.map(({ name, value }) => [name, value])),
    ...withoutUndefined({ id }),
  };
}

/** What is wrong with the question is an answer, too. */
function helpOnDevices(types: readonly DeviceType[], given: Record<string, unknown>): string | undefined {
  try {
    return deviceHelp(types, given);
  } catch (error) {
    return `${asBlockError(error).message}\n`;
  }
}

async function qomList(context: CommandContext, { path }: Arguments): Promise<string> {
  if (path === undefined) return '/\n';
  const found = (await qmp(context, 'qom-list', { path })) as { name: string; type: string }[];
  return found.map(({ name, type }) => `${name} (${type})\n`).join('');
}

async function qomGet(context: CommandContext, { path, property }: Arguments): Promise<string> {
  return `${formatPrettyJson(await qmp(context, 'qom-get', { path, property }))}\n`;
}

async function qomSet(context: CommandContext, { json, path, property, value }: Arguments): Promise<string> {
  const text = value as string;
  const isPlain = !json && !/^(-?\d+|true|false|on|off)$/.test(text);
  const given = /^(on|off)$/.test(text) ? text === 'on' : isPlain ? text : parseJson(text);
  return silently(context, 'qom-set', { path, property, value: given });
}

export const machineCommands: readonly HmpCommand[] = [
  { name: 'stop', alias: 's', help: 'stop emulation', run: (context) => silently(context, 'stop') },
  { name: 'cont', alias: 'c', help: 'resume emulation', run: (context) => silently(context, 'cont') },
  {
    name: 'system_reset',
    help: 'reset the system',
    run: (context) => silently(context, 'system_reset'),
  },
  {
    name: 'system_powerdown',
    help: 'send system power down event',
    run: (context) => silently(context, 'system_powerdown'),
  },
  { name: 'quit', alias: 'q', help: 'quit the emulator', run: (context) => silently(context, 'quit') },
  {
    name: 'device_add',
    parameters: [{ name: 'device', kind: 'options' }],
    usage: 'driver[,prop=value][,...]',
    help: 'add device, like -device on the command line',
    async run({ machine }, { device }) {
      const given = options(device as string, 'driver', helpNames);
      const { deviceTypes } = machine!.options; // a program without a machine has no such monitor
      const help = helpOnDevices(deviceTypes, given);
      if (help !== undefined) return help;
      await machine!.addDevice(given as JsonObject, true);
      return '';
    },
  },
  {
    name: 'device_del',
    parameters: [word('id')],
    usage: 'device',
    help: 'remove device',
    run: (context, { id }) => silently(context, 'device_del', { id }),
  },
  {
    name: 'object_add',
    parameters: [word('object')],
    usage: '[qom-type=]type,id=str[,prop=value][,...]',
    help: 'create QOM object',
    async run(context, { object }) {
      const command = context.commands.find('object-add')!; // every program has it
      await command.run(context, parseOption(command.args, object as string, 'qom-type') as object);
      return '';
    },
  },
  {
    name: 'object_del',
    parameters: [word('id')],
    usage: 'id',
    help: 'destroy QOM object',
    run: (context, { id }) => silently(context, 'object-del', { id }),
  },
  {
    name: 'qom-list',
    parameters: [optionalWord('path')],
    usage: 'path',
    help: 'list QOM properties',
    run: qomList,
  },
  {
    name: 'qom-get',
    parameters: [word('path'), word('property')],
    usage: 'path property',
    help: 'print QOM property',
    run: qomGet,
  },
  {
    name: 'qom-set',
    parameters: [flag('j', 'json'), word('path'), word('property'), { name: 'value', kind: 'rest' }],
    usage: '[-j] path property value',
    help: ['set QOM property.', '\t\t\t-j: the value is specified in json format.'].join('\n'),
    run: qomSet,
  },
];
