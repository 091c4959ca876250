/**
 * How devices come and go: `-device`, device_add, device_del and what the machine brings along.
 */
import { invalid } from '../base/errors.ts';
import { withoutUndefined } from '../base/without-undefined.ts';
import { inDictionaryOrder } from '../qapi/dictionary-order.ts';
import { identifierHint, isIdentifier } from '../qapi/identifier.ts';
import type { JsonObject, JsonValue } from '../qapi/json-value.ts';
import type { Device } from './device.ts';
import { findDeviceType } from './device-type.ts';
import type { Machine } from './machine.ts';

/** Errors: BlockError; nothing is left of the device. */
export async function plugDevice(machine: Machine, options: JsonObject, isText: boolean): Promise<Device> {
  const { driver, bus: busName, id, ...properties } = options;
  if (typeof driver !== 'string') throw invalid("Parameter 'driver' is missing");
  const type = findDeviceType(machine.options.deviceTypes, driver);
  const bus = machine.buses.choose(type.name, type.busKind, busName as string | undefined);
  if (machine.isSetUp) bus.checkHotplug();
  const device = type.create(machine);
  device.id = checkedId(machine, id, isText);
  device.bus = bus;
  device.hotplugged = machine.isSetUp;
  const shelf = device.id === undefined ? machine.peripheralAnon : machine.peripheral;
  const name = device.id ?? machine.nextAnonymousName();
  device.path = `${device.id === undefined ? '/machine/peripheral-anon' : '/machine/peripheral'}/${name}`;
  const { console } = machine.graph.platform;
  machine.options.globals?.applyTo(device, machine.isSetUp ? (message) => console.warn(message) : undefined);
  for (const [property, value] of inDictionaryOrder(properties)) {
    device.setProperty(property, value as JsonValue, isText);
  }
  await connect(machine, device, shelf.children, name);
  return device;
}

/** A device that comes with the machine: `name` below `/machine/unattached`. */
export async function addBuiltInDevice(
  machine: Machine,
  name: string,
  typeName: string,
  busName: string,
  properties: Readonly<Record<string, JsonValue>>,
): Promise<Device> {
  const type = findDeviceType(machine.options.deviceTypes, typeName);
  const device = type.create(machine);
  device.bus = machine.buses.choose(typeName, type.busKind, busName);
  device.path = `/machine/unattached/${name}`;
  machine.options.globals?.applyTo(device, undefined);
  for (const [property, value] of Object.entries(properties)) device.setProperty(property, value, false);
  await connect(machine, device, machine.unattached.children, name);
  return device;
}

async function connect(
  machine: Machine,
  device: Device,
  shelf: Map<string, unknown>,
  name: string,
): Promise<void> {
  shelf.set(name, device);
  device.bus?.devices.push(device);
  machine.devices.push(device);
  try {
    await device.realize();
  } catch (error) {
    disconnect(machine, device);
    throw error;
  }
}

function disconnect(machine: Machine, device: Device): void {
  for (const shelf of [machine.peripheral, machine.peripheralAnon, machine.unattached]) {
    for (const [name, object] of shelf.children) if (object === device) shelf.children.delete(name);
  }
  remove(device.bus?.devices ?? [], device);
  remove(machine.devices, device);
}

function remove<T>(list: T[], item: T): void {
  const index = list.indexOf(item);
  if (index >= 0) list.splice(index, 1);
}

/** Takes a device away with those on its buses, and tells so. Harmless for one that is gone. */
export async function unplugDevice(machine: Machine, device: Device): Promise<void> {
  if (!machine.devices.includes(device)) return;
  for (const dependent of [...device.dependents()]) await unplugDevice(machine, dependent);
  await device.unrealize();
  disconnect(machine, device);
  const deleted = device.deletedPaths();
  // As with QEMU the news comes after the answer of the command that caused it.
  machine.later(() => {
    for (const { id, path } of deleted) {
      machine.emit({
        name: 'DEVICE_DELETED',
        data: { ...withoutUndefined({ device: id }), path },
      });
    }
  });
}

function checkedId(machine: Machine, id: unknown, isText: boolean): string | undefined {
  if (id === undefined) return undefined;
  if (typeof id !== 'string' || !isIdentifier(id)) {
    throw invalid("Parameter 'id' expects an identifier", identifierHint);
  }
  if (machine.findDevice(id)) {
    throw invalid(
      isText && !machine.isSetUp ? `Duplicate ID '${id}' for device` : `Duplicate device ID '${id}'`,
    );
  }
  return id;
}
