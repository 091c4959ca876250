/**
 * What `info` tells of the machine as trees: its buses with the devices on them (`info qtree`), the objects (`info qom-tree`) and the
 * event loops (`info iothreads`).
 *
 * There is what storage needs: buses that QEMU's machines have inside a bridge or a controller of their own hang below the system bus.
 */
import { BlockError } from '../../base/errors.ts';
import type { Bus } from '../../machine/bus.ts';
import type { Device } from '../../machine/device.ts';
import type { PropertyValue } from '../../machine/property.ts';
import type { QomObject, QomProperty } from '../../objects/qom.ts';
import type { CommandContext } from '../../qmp/command.ts';
import { formatSize } from '../shared/human-size.ts';
import { type Arguments, flag, type HmpCommand, optionalWord, qmp } from './command.ts';

/** Of no bus: devices of the machine's own, and the buses that no device has. */
const systemBus = { name: 'main-system-bus', kind: 'System' };
/** Between a virtio device on the PCI bus and its part that is the disk or the controller. */
const virtioBus = { name: 'virtio-bus', kind: 'virtio-pci-bus' };
const virtioPart = 'virtio-backend';

/** Set beside the others, and shown in `info qom-tree` alone. */
const hiddenProperties = new Set(['bootindex']);

class DeviceTree {
  private text = '';
  private readonly buses: readonly Bus[];
  private readonly devices: readonly Device[];

  constructor(
    { buses, devices }: { buses: readonly Bus[]; devices: readonly Device[] },
    private readonly brief: boolean,
  ) {
    this.buses = buses;
    this.devices = devices;
  }

  show(): string {
    this.bus(systemBus, 0, (indent) => {
      for (const device of newestFirst(this.devices)) if (!device.bus) this.device(device, indent);
      for (const bus of newestFirst(this.buses)) {
        if (!this.devices.some((device) => isOf(bus, device))) this.busWithDevices(bus, indent);
      }
    });
    return this.text;
  }

  private bus(
    { name, kind }: { name: string; kind: string },
    indent: number,
    below: (indent: number) => void,
  ): void {
    this.line(indent, `bus: ${name}`);
    this.line(indent + 2, `type ${kind}`);
    below(indent + 2);
  }

  private busWithDevices(bus: Bus, indent: number): void {
    this.bus(bus, indent, (inner) => {
      for (const device of newestFirst(bus.devices)) this.device(device, inner);
    });
  }

  private device(device: Device, indent: number): void {
    this.line(indent, `dev: ${device.typeName}, id "${device.id ?? ''}"`);
    const part = device.children.get(virtioPart);
    const ofPart = new Set(part?.properties.map(({ name }) => name));
    const declared = new Set(device.type.properties.map(({ name }) => name));
    const own = device.properties.filter(({ name }) => declared.has(name));
    this.properties(own.filter(({ name }) => !ofPart.has(name)), indent + 2); // biome-ignore format: one thought
    if (part) {
      this.bus(virtioBus, indent + 2, (inner) => {
        this.line(inner, `dev: ${part.typeName}, id ""`);
        this.properties(own.filter(({ name }) => ofPart.has(name)), inner + 2); // biome-ignore format: one thought
        this.busesOf(device, inner + 2);
      });
    } else this.busesOf(device, indent + 2);
  }

  private busesOf(device: Device, indent: number): void {
    for (const bus of newestFirst(this.buses)) if (isOf(bus, device)) this.busWithDevices(bus, indent);
  }

  private properties(properties: readonly QomProperty[], indent: number): void {
    if (this.brief) return;
    for (const { name, type, get } of properties) {
      if (type.startsWith('link<') || hiddenProperties.has(name)) continue;
      this.line(indent, `${name} = ${describeValue(get?.() as PropertyValue, { name, type })}`);
    }
  }

  private line(indent: number, text: string): void {
    this.text += `${' '.repeat(indent)}${text}\n`;
  }
}

function newestFirst<T>(list: readonly T[]): T[] {
  return [...list].reverse();
}

function isOf({ path }: Bus, device: Device): boolean {
  return path.startsWith(`${device.path}/`);
}

function describeValue(value: PropertyValue, { name, type }: { name: string; type: string }): string {
  if (typeof value === 'boolean') return String(value);
  if (typeof value === 'string') return name === 'addr' ? value : `"${value}"`;
  // The text form of a list has no place for what is in its items.
  if (typeof value === 'object') return value.map(() => '<omitted>').join(', ') || '<null>';
  if (name === 'addr') return describeAddress(Number(value));
  if (type === 'size') return `${value} (${formatSize(Number(value))})`;
  return `${value} (0x${BigInt.asUintN(64, BigInt(value)).toString(16)})`;
}

/** A slot and a function of the PCI bus. */
function describeAddress(value: number): string {
  return `${(value >> 3).toString(16).padStart(2, '0')}.${value & 7}`;
}

function infoQtree({ machine }: CommandContext, { brief }: Arguments): string {
  if (!machine) return '';
  const { buses, devices } = machine;
  return new DeviceTree({ buses: buses.list(), devices }, brief === true).show();
}

function infoQomTree({ machine }: CommandContext, { path = '/machine' }: Arguments): string {
  if (!machine) return '';
  const text = path as string;
  const { tree } = machine;
  try {
    const object = tree.resolve(text);
    const name = tree.pathOf(object)?.replace(/.*\//, '') ?? '';
    return describeObject(name, object, 0);
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
    return `Path '${text}' could not be resolved.\n`;
  }
}

function describeObject(name: string, object: QomObject, indent: number): string {
  const children = [...(object.children ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
  const below = children.map(([childName, child]) => describeObject(childName, child, indent + 2));
  return `${' '.repeat(indent)}/${name} (${object.typeName})\n${below.join('')}`;
}

async function infoIothreads(context: CommandContext): Promise<string> {
  const all = (await qmp(context, 'query-iothreads')) as ({ id: string } & Record<string, number>)[];
  const shown = ['poll-max-ns', 'poll-grow', 'poll-shrink', 'aio-max-batch'];
  return all
    .map((one) => {
      const lines = [`thread_id=${one['thread-id']}`, ...shown.map((name) => `${name}=${one[name]}`)];
      return `${one.id}:\n${lines.map((line) => `  ${line}\n`).join('')}`;
    })
    .join('');
}

export const treeCommands: readonly HmpCommand[] = [
  // A terminal knows its own lines (readline.ts); whoever has none has typed nothing.
  { name: 'info history', help: 'show the command line history', run: () => '' },
  { name: 'info iothreads', help: 'show iothreads', run: infoIothreads },
  {
    name: 'info qom-tree',
    parameters: [optionalWord('path')],
    usage: '[path]',
    help: 'show QOM composition tree',
    run: infoQomTree,
  },
  {
    name: 'info qtree',
    parameters: [flag('b', 'brief')],
    usage: '[-b]',
    help: 'show device tree (-b: brief, omit properties)',
    run: infoQtree,
  },
];
