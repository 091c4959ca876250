/** Buses: where devices are plugged in (specification: cli, section 6). */
import { invalid } from '../base/errors.ts';
import type { Device } from './device.ts';

export interface BusSpec {
  name: string;
  /** As messages call it: `PCI`, `IDE`. */
  kind: string;
  canHotplug: boolean;
  /** In the object model. */
  path: string;
  /** How many devices it takes before another bus is looked for; absent: as many as one likes. */
  capacity?: number;
  /** How many places it has, where that is fewer. */
  units?: number;
}

export class Bus {
  readonly name: string;
  readonly kind: string;
  readonly canHotplug: boolean;
  readonly path: string;
  readonly capacity: number;
  readonly units: number;
  /** In the order in which they came. */
  readonly devices: Device[] = [];

  constructor({
    name,
    kind,
    canHotplug,
    path,
    capacity = Number.POSITIVE_INFINITY,
    units = capacity,
  }: BusSpec) {
    this.name = name;
    this.kind = kind;
    this.canHotplug = canHotplug;
    this.path = path;
    this.capacity = capacity;
    this.units = units;
  }

  get isFull(): boolean {
    return this.devices.length >= this.capacity;
  }

  checkHotplug(): void {
    if (!this.canHotplug) throw invalid(`Bus '${this.name}' does not support hotplugging`);
  }
}

/** The buses of a machine. The one that came last is searched first. */
export class Buses {
  private all: Bus[] = [];
  private readonly counters = new Map<string, number>();

  /** A bus named after the device that has it, or numbered by its kind. */
  nameFor(deviceId: string | undefined, kindName: string): string {
    if (deviceId !== undefined) return `${deviceId}.0`;
    const number = this.counters.get(kindName) ?? 0;
    this.counters.set(kindName, number + 1);
    return `${kindName}.${number}`;
  }

  add(spec: BusSpec): Bus {
    const bus = new Bus(spec);
    this.all.push(bus);
    return bus;
  }

  remove(bus: Bus): void {
    this.all = this.all.filter((other) => other !== bus);
  }

  /** In the order in which they came. */
  list(): readonly Bus[] {
    return this.all;
  }

  find(name: string): Bus | undefined {
    return this.all.find((bus) => bus.name === name);
  }

  /** By the `bus` of a device, or the first with room, or the first. Errors: none fits. */
  choose(typeName: string, kind: string, name: string | undefined): Bus {
    if (name !== undefined) {
      const bus = this.find(name);
      if (!bus) throw invalid(`Bus '${name}' not found`);
      if (bus.kind !== kind) throw invalid(`Device '${typeName}' can't go on ${bus.kind} bus`);
      return bus;
    }
    const fitting = this.all.filter((bus) => bus.kind === kind).reverse();
    const free = fitting.find((bus) => !bus.isFull);
    if (free) return free;
    // A full bus says itself what is wrong with one more.
    if (fitting[0]) return fitting[0];
    throw invalid(`No '${kind}' bus found for device '${typeName}'`);
  }
}
