/**
 * A machine as far as storage sees it: a run state, drives, buses and the devices on them (specification: cli, section
 * 6). An emulator may be its processor; without one, running means that device requests go through.
 *
 * Requests come from whoever uses the library. What a guest would have to agree to (letting go of a PCI device) is
 * agreed to as soon as the machine runs, or is reset.
 */
import { invalid } from '../base/errors.ts';
import type { BlockGraph, GraphEvent } from '../block/graph.ts';
import type { JobRegistry } from '../jobs/job-registry.ts';
import { QomContainer, type QomObject, type QomProperty, type QomTree } from '../objects/qom.ts';
import type { JsonObject } from '../qapi/json-value.ts';
import { Buses } from './bus.ts';
import type { Device } from './device.ts';
import { plugDevice, unplugDevice } from './device-life.ts';
import type { DeviceType } from './device-type.ts';
import { type DriveContext, openDrive } from './drive-open.ts';
import type { DriveOptions } from './drive-options.ts';
import { type Drive, Drives } from './drives.ts';
import type { GlobalProperties } from './globals.ts';
import type { MachineType } from './machine-types.ts';
import type { Processor } from './processor.ts';
import { RunState, type StandingState } from './run-state.ts';

interface MachineServices {
  graph: BlockGraph;
  jobs: JobRegistry;
  tree: QomTree;
  emit(event: GraphEvent): void;
}

export interface MachineOptions {
  type: MachineType;
  /** Whether it has power management; absent: as its type says. */
  hasAcpi?: boolean;
  /** The models of devices that it knows. */
  deviceTypes: readonly DeviceType[];
  /** Values for properties, below those that a device is given itself; the last one counts. */
  globals?: GlobalProperties;
  name?: string | undefined;
  /** In its usual form. */
  uuid?: string | undefined;
  temporaryDirectory: string;
  /** How much memory it has; absent: as its type says. */
  memoryBytes?: number;
  /** What `-nodefaults` leaves out is there. */
  hasDefaults?: boolean;
  /** system_reset ends the machine. */
  endsOnReset?: boolean;
  /** A guest that switches itself off leaves it standing. */
  staysOnPowerOff?: boolean;
}

export type ShutdownReason = 'host-qmp-quit' | 'host-signal' | 'host-qmp-system-reset' | 'guest-shutdown';

export class Machine implements QomObject {
  readonly typeName: string;
  readonly graph: BlockGraph;
  readonly tree: QomTree;
  readonly jobs: JobRegistry;
  readonly emit: (event: GraphEvent) => void;
  readonly runState: RunState;
  readonly drives = new Drives();
  readonly buses = new Buses();
  /** All that are plugged in, oldest first; the machine's own are among them. */
  readonly devices: Device[] = [];
  readonly children = new Map<string, QomObject>();
  readonly peripheral = new QomContainer();
  readonly peripheralAnon = new QomContainer();
  readonly unattached = new QomContainer();
  readonly bootIndexes = new Map<number, Device>();
  /** Runs and stands with the machine. */
  processor: Processor | undefined;
  /** Devices that come now were not there from the start. */
  isSetUp = false;
  private isShutDown = false;
  private isPoweringOff = false;
  private anonymous = 0;
  private readonly announcements = new Set<Promise<void>>();

  constructor(
    services: MachineServices,
    readonly options: MachineOptions,
  ) {
    this.graph = services.graph;
    this.tree = services.tree;
    this.jobs = services.jobs;
    this.emit = services.emit;
    this.typeName = `${options.type.name}-machine`;
    this.runState = new RunState(this.emit, services.graph.platform.clock);
    this.children.set('peripheral', this.peripheral);
    this.children.set('peripheral-anon', this.peripheralAnon);
    this.children.set('unattached', this.unattached);
    services.tree.mount({ name: 'machine', object: this });
    for (const bus of options.type.buses) this.buses.add(bus);
  }

  /** Its guest can be told to end, and end by itself. */
  get hasAcpi(): boolean {
    return this.options.hasAcpi ?? this.options.type.hasAcpi;
  }

  get properties(): readonly QomProperty[] {
    return [];
  }

  // Running.

  /** Stops, makes everything written durable, and waits until nothing is on its way any more. */
  async stop(state: StandingState = 'paused'): Promise<void> {
    const { processor } = this;
    if (processor && state !== 'io-error' && this.runState.isRunning) await this.finishRequests(processor);
    this.runState.stop(state);
    if (state === 'io-error') await processor?.halt({ forDisks: false });
    await this.quiesce();
  }

  /** What the guest has begun is answered while the machine still runs; limits do not hold it up. */
  private async finishRequests(processor: Processor): Promise<void> {
    const limits = this.graph.backends.list().flatMap(({ throttle }) => throttle ?? []);
    for (const limit of limits) limit.drainBegin();
    await Promise.all([processor.halt({ forDisks: true }), this.drain()]);
    for (const limit of limits) limit.drainEnd();
  }

  private async drain(): Promise<void> {
    this.graph.drainAllEnd(await this.graph.drainAllBegin());
  }

  private async quiesce(): Promise<void> {
    await this.drain();
    for (const backend of this.graph.backends.list()) {
      if (!backend.hasMedium || backend.node.readOnly) continue;
      // A flush that fails has no one to be told: the next one of the guest will fail again.
      await backend.flush().catch(() => {});
    }
  }

  /** Errors: the guest has switched itself off. */
  async cont(): Promise<void> {
    if (this.runState.name === 'shutdown') throw invalid('Resetting the Virtual Machine is required');
    for (const backend of this.graph.backends.list()) {
      backend.ioStatus = 'ok';
      backend.failure = undefined;
    }
    this.runState.resume();
    this.processor?.run();
    await this.guestLetsGo();
  }

  /** Gives whether the machine is to end. Errors: the emulator cannot do it. */
  async reset(): Promise<boolean> {
    if (this.options.endsOnReset) return true;
    this.processor?.checkReset?.();
    this.emit({ name: 'RESET', data: { guest: false, reason: 'host-qmp-system-reset' } });
    await this.processor?.reset();
    this.runState.reset();
    await this.guestLetsGo();
    return false;
  }

  /**
   * The guest has switched itself off: takes effect when its disks have answered. Gives whether the machine is to end;
   * one that does not stands until it is reset.
   */
  async powerOff(): Promise<boolean> {
    if (this.isPoweringOff) return false;
    this.isPoweringOff = true;
    do {
      await this.runState.whenRunning();
      await this.processor?.halt({ forDisks: true });
      // A disk that fails meanwhile has stopped it: what was asked for comes first.
    } while (!this.runState.isRunning);
    if (!this.options.staysOnPowerOff) return true;
    this.tellShutdown('guest-shutdown');
    this.runState.stop('shutdown');
    this.isPoweringOff = false;
    await this.quiesce();
    return false;
  }

  /** Tells so, once. Jobs and devices are still there. */
  shutDown(reason: ShutdownReason): void {
    if (this.isShutDown) return;
    this.isShutDown = true;
    this.tellShutdown(reason);
    this.runState.shutDown();
    void this.processor?.halt({ forDisks: false });
  }

  private tellShutdown(reason: ShutdownReason): void {
    this.emit({ name: 'SHUTDOWN', data: { guest: reason === 'guest-shutdown', reason } });
  }

  /** Takes devices, then drives away. To be called once, after the last job. */
  async close(): Promise<void> {
    for (const device of [...this.devices].reverse()) await device.unrealize();
    this.devices.length = 0;
    for (const backend of [...this.graph.backends.list()].reverse()) await backend.delete();
    await Promise.all(this.announcements);
  }

  /** Has something told on the next turn of the event loop, and before the machine is closed. */
  later(announce: () => void): void {
    const told: Promise<void> = this.graph.platform.clock.yield().then(() => {
      this.announcements.delete(told);
      announce();
    });
    this.announcements.add(told);
  }

  // Drives and devices.

  /** Errors: BlockError; nothing is left of it. */
  addDrive(drive: DriveOptions, context: string): Promise<Drive> {
    return openDrive(drive, this.driveContext(context));
  }

  private driveContext(context: string): DriveContext {
    const { temporaryDirectory, type } = this.options;
    return { graph: this.graph, drives: this.drives, defaults: type.drives, temporaryDirectory, context };
  }

  /** `-device` and device_add. `isText`: values are from an option string. Errors: BlockError; nothing is left of it. */
  addDevice(options: JsonObject, isText: boolean): Promise<Device> {
    return plugDevice(this, options, isText);
  }

  /** device_del. Errors: no such device, or it cannot be taken away. */
  async removeDevice(device: Device): Promise<void> {
    if (device.unplugPending) {
      throw invalid(`Device ${device.id} is already in the process of unplug`);
    }
    device.bus?.checkHotplug();
    device.unplugPending = true;
    if (device.needsGuestToUnplug && !this.runState.isRunning) return;
    await unplugDevice(this, device);
  }

  findDevice(id: string): Device | undefined {
    return this.devices.find((device) => device.id === id);
  }

  nextAnonymousName(): string {
    return `device[${this.anonymous++}]`;
  }

  private async guestLetsGo(): Promise<void> {
    for (const device of this.devices.filter(({ unplugPending }) => unplugPending)) {
      await unplugDevice(this, device);
    }
  }
}
