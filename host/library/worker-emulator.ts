/**
 * v86 beside the block layer, in its thread: a request of its guest is a call of a function here, where one of an emulator in the page
 * is two messages between threads.
 *
 * The machine has it as its processor like any other. The page hears the events that it listens to, sees the screen, and calls v86's
 * functions, but for those that belong to the machine: it runs, stands, is reset, saved and restored by commands of the monitor.
 */
import { createDeferred } from '../base/deferred.ts';
import { BlockError, invalid } from '../base/errors.ts';
import { LocalGuestDisk } from '../emulator/local-disk.ts';
import { V86Disk } from '../emulator/v86/disk.ts';
import type { V86Drives } from '../emulator/v86/drives.ts';
import type { V86Constructor, V86Emulator } from '../emulator/v86/emulator.ts';
import type { FileSources } from '../emulator/v86/files.ts';
import { V86Machine } from '../emulator/v86/machine.ts';
import { onPowerOff } from '../emulator/v86/power-off.ts';
import { showScreen } from '../emulator/v86/screen/machine-end.ts';
import { takeTurns } from '../emulator/v86/turns.ts';
import { BlockDevice } from '../machine/block-device.ts';
import type { Device } from '../machine/device.ts';
import { unplugDevice } from '../machine/device-life.ts';
import type { Machine } from '../machine/machine.ts';
import { driveNames, type EmulatorNews, type EmulatorStart } from './emulator-protocol.ts';
import { serveCalls } from './rpc.ts';
import type { DiskOptions } from './yard.ts';

/** What the page calls. */
export type EmulatorFunctions = ReturnType<typeof functionsOf>;

/** v86's functions that would act behind the machine's back. */
const functionsOfMachine = new Set(['run', 'stop', 'restart', 'destroy', 'restore_state', 'save_state']);

type Listen = (event: string, listener: (value?: unknown) => void) => void;

/** An emulator as it is put together: the disks that it has, and who is told of it. */
export class WorkerEmulator {
  private readonly devices: Device[] = [];
  private readonly disks: LocalGuestDisk[] = [];
  private readonly begun = createDeferred();
  private guest: V86Machine | undefined;
  private untold: [name: string, value: unknown][] = [];

  private constructor(
    private readonly machine: Machine,
    private readonly start: EmulatorStart,
  ) {}

  /**
   * Makes v86, and the machine's processor of it. Errors: its module is not to be had, or is another one; of disks; of `createV86`. Nothing is
   * left then.
   */
  static async start(machine: Machine, start: EmulatorStart, sources: FileSources): Promise<WorkerEmulator> {
    const made = new WorkerEmulator(machine, start);
    try {
      await made.make(sources);
    } catch (error) {
      await made.close();
      throw error;
    }
    return made;
  }

  private async make(sources: FileSources): Promise<void> {
    const { machine, start } = this;
    const V86 = await importV86(start.module);
    const drives = await this.plug();
    this.guest = await V86Machine.start(machine, V86, drives, start.options, {
      sources,
      prepare: (emulator) => this.prepare(emulator),
    });
    const { emulator } = this.guest;
    const functions = functionsOf(
      emulator as unknown as OpenEmulator,
      (event) => this.listen(event),
      () => this.begun.resolve(),
    );
    serveCalls(start.calls, functions);
    onPowerOff(emulator, () => void machine.powerOff());
  }

  /** Before it runs, or has any state. */
  private prepare(emulator: V86Emulator): void {
    const { machine, start } = this;
    const { clock } = machine.graph.platform;
    takeTurns(emulator, { timers: clock, begun: this.begun.promise, fail: (error) => this.fail(error) });
    const { canvas } = start;
    if (!canvas) return;
    showScreen(emulator, {
      canvas,
      tell: (update) => this.tell({ type: 'screen', update }),
      nextFrame: (draw) => void requestAnimationFrame(draw),
    });
  }

  private async plug(): Promise<V86Drives> {
    const drives: V86Drives = {};
    for (const name of driveNames) {
      const options = this.start.drives[name];
      if (options) drives[name] = await this.plugDisk(options, name === 'cdrom' ? 'cdrom' : 'disk');
    }
    return drives;
  }

  private async plugDisk(options: DiskOptions, kind: 'disk' | 'cdrom'): Promise<V86Disk> {
    const { node, id = node, rerror = 'stop', werror = 'stop' } = options;
    const driver = kind === 'cdrom' ? 'ide-cd' : 'ide-hd';
    const device = await this.machine.addDevice({ driver, id, drive: node, rerror, werror }, false);
    this.devices.push(device);
    if (!(device instanceof BlockDevice)) throw invalid(`Device '${id}' has no disk`);
    const disk = new LocalGuestDisk(device, options.flushPolicy ?? this.start.flushPolicy);
    this.disks.push(disk);
    return new V86Disk(disk, kind);
  }

  /** Settles when all that the guest has written is durable. */
  async flush(): Promise<void> {
    await Promise.all(this.disks.map((disk) => disk.flush()));
  }

  /** Ends the emulator and takes its disks away. */
  async close(): Promise<void> {
    const { machine, guest, devices, start } = this;
    this.begun.resolve();
    await guest?.close();
    if (machine.runState.isRunning) await this.flush();
    for (const device of devices) await unplugDevice(machine, device);
    start.calls.close();
    start.news.close();
  }

  private listen(event: string): void {
    const { emulator } = this.guest!; // calls are served once it is there
    (emulator.add_listener as Listen).call(emulator, event, (value) => {
      this.untold.push([event, value]);
      // A turn of the guest makes many: what has happened in it is told at its end.
      if (this.untold.length === 1) queueMicrotask(() => this.tellEvents());
    });
  }

  private tellEvents(): void {
    const events = this.untold;
    this.untold = [];
    try {
      this.tell({ type: 'events', events });
    } catch {
      // Some have values that cannot go to another thread: these come without.
      for (const [name, value] of events) this.tellWithoutFail(name, value);
    }
  }

  private tellWithoutFail(name: string, value: unknown): void {
    try {
      this.tell({ type: 'events', events: [[name, value]] });
    } catch {
      this.tell({ type: 'events', events: [[name, undefined]] });
    }
  }

  private fail(error: unknown): void {
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.tell({ type: 'failed', message });
    void this.machine.stop('internal-error');
  }

  private tell(news: EmulatorNews): void {
    this.start.news.postMessage(news);
  }
}

/** v86 with all its members. */
type OpenEmulator = Record<string, unknown> & { readonly bus: { send(event: string, value: unknown): void } };

function functionsOf(emulator: OpenEmulator, listen: (event: string) => void, begin: () => void) {
  return {
    /** Whoever wants to hear from the start has said so. */
    async begin(_: object): Promise<void> {
      begin();
    },

    async listen({ event }: { event: string }): Promise<void> {
      listen(event);
    },

    /** What v86's own adapters would say on its bus. */
    async send({ event, value }: { event: string; value: unknown }): Promise<void> {
      emulator.bus.send(event, value);
    },

    /** Errors: v86 has no such function; it belongs to the machine; its own. */
    async run({ name, args }: { name: string; args: readonly unknown[] }): Promise<unknown> {
      if (functionsOfMachine.has(name)) throw invalid(`'${name}' is for the machine to do: use the monitor`);
      const called = emulator[name];
      if (typeof called !== 'function') throw new BlockError('ENOTSUP', `v86 has no function '${name}'`);
      return called.apply(emulator, args);
    },
  };
}

async function importV86(module: string): Promise<V86Constructor> {
  const found = (await import(module).catch((error: Error) => {
    throw new BlockError('EIO', `Could not load v86 from ${module}: ${error.message}`, { cause: error });
  })) as { V86?: V86Constructor; default?: V86Constructor };
  const V86 = found.V86 ?? found.default;
  if (typeof V86 !== 'function') throw invalid(`${module} is not v86: it exports no class 'V86'`);
  return V86;
}
