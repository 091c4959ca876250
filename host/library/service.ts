/**
 * What the worker does: a block layer with a machine, reached over ports.
 *
 * The page adds devices to the machine as it puts its emulator together, and so all of its buses take them at any time.
 * The machine runs from the start; an emulator of the page becomes its processor.
 */
import { BlockError } from '../base/errors.ts';
import type { DriverDefinition } from '../block/driver.ts';
import type { BlockGraph } from '../block/graph.ts';
import { type FlushPolicy, LocalGuestDisk } from '../emulator/local-disk.ts';
import type { FileSources } from '../emulator/v86/files.ts';
import { BlockDevice } from '../machine/block-device.ts';
import { unplugDevice } from '../machine/device-life.ts';
import { ideCdType, ideHdType } from '../machine/devices/ide.ts';
import type { Machine } from '../machine/machine.ts';
import { machineTypes } from '../machine/machine-types.ts';
import { loadPart, type Platform } from '../platform/platform.ts';
import type { PrefetchList } from '../protocols/http/driver.ts';
import { machineCommands } from '../qmp/commands/machine.ts';
import { QmpServer } from '../qmp/server.ts';
import { tracer } from '../trace/events.ts';
import { type BaseIdentity, identifyBase, readIdentity, writeIdentity } from './base-identity.ts';
import { serveDisk } from './disk-server.ts';
import type { EmulatorStart } from './emulator-protocol.ts';
import type { Export, ExportSource } from './export.ts';
import { savedMachineCommands } from './machine-commands.ts';
import { PortConnection } from './port-connection.ts';
import { prefetchListBelow } from './prefetch.ts';
import { RemoteProcessor } from './processor-port.ts';
import { serveCalls, Transferred } from './rpc.ts';

interface ServiceOptions {
  platform: Platform;
  drivers: readonly DriverDefinition[];
  /** Where the files of an emulator in this thread come from. */
  emulatorFiles: FileSources;
  /** Absent: nothing of web servers' files outlives the program. */
  httpCache?: { getSize(): Promise<number>; clear(): Promise<void> };
}

/** What can be called over the control port. */
export type ServiceFunctions = ReturnType<typeof functionsOf>;

/** Starts a block layer that is controlled over `port`. */
export async function startService(port: MessagePort, options: ServiceOptions): Promise<void> {
  const { platform, drivers } = options;
  const attached: Attached = {};
  const server = new QmpServer({
    platform,
    drivers,
    commands: [...machineCommands, ...savedMachineCommands(() => attached.emulator !== undefined)],
    machine: {
      type: machineTypes.find(({ aliases }) => aliases.includes('pc'))!, // it is in the table
      name: undefined,
      deviceTypes: [ideCdType, ideHdType],
      temporaryDirectory: '/tmp',
      hasDefaults: false,
      endsOnReset: false,
      staysOnPowerOff: true,
    },
  });
  await server.machine!.cont(); // it was given one
  serveCalls(port, functionsOf(server, attached, options));
}

interface OpenDisk {
  /** Id of a device that has been added. */
  device: string;
  flushPolicy: FlushPolicy;
  port: MessagePort;
}

/** The emulator that there is: in the page, or in this thread. */
interface Attached {
  emulator?: { flush?(): Promise<void>; close(): Promise<void> } | undefined;
}

function functionsOf(server: QmpServer, attached: Attached, options: ServiceOptions) {
  const { detach, ...machine } = machineFunctions(server, attached, options);
  const { endAll, ...exports } = exportFunctions(server.graph);
  const { stop, ...watching } = traceFunctions(options.platform);
  return {
    ...machine,
    ...imageFunctions(server.graph, options),
    ...exports,
    ...watching,

    /** Everything written is durable and every file closed when this has been answered. */
    async close(_: object): Promise<void> {
      await detach();
      await endAll();
      await server.stop();
      // A command that is still being executed may open something.
      await server.whenEnded;
      await server.close();
      options.platform.blobs?.clear();
      stop();
    },
  };
}

/** The monitor, disks, and the machine's processor. */
function machineFunctions(
  server: QmpServer,
  attached: Attached,
  { platform, emulatorFiles }: ServiceOptions,
) {
  const machine = server.machine!; // startService gave it one
  const detach = async (): Promise<void> => {
    const leaving = attached.emulator;
    attached.emulator = undefined;
    machine.processor = undefined;
    await leaving?.close();
  };
  return {
    detach,

    async connectMonitor({ port }: { port: MessagePort }): Promise<void> {
      server.connect(new PortConnection(port));
    },

    /** Errors: no such device, or none with a disk. */
    async openDisk({ device: id, flushPolicy, port }: OpenDisk): Promise<void> {
      const device = findDisk(machine, id);
      const disk = new LocalGuestDisk(device, flushPolicy);
      serveDisk(port, disk, async () => {
        if (machine.runState.isRunning) await disk.flush();
        await unplugDevice(machine, device);
      });
    },

    /** The machine's processor from now on, in place of any before. */
    async attachProcessor({ port }: { port: MessagePort }): Promise<void> {
      await detach();
      const processor = new RemoteProcessor(port);
      attached.emulator = processor;
      machine.processor = processor;
      if (machine.runState.isRunning) processor.run();
    },

    /** Makes an emulator in this thread, in place of any before. */
    async startEmulator(start: EmulatorStart): Promise<void> {
      await detach();
      const { WorkerEmulator } = await loadPart(platform, () => import('./worker-emulator.ts'));
      attached.emulator = await WorkerEmulator.start(machine, start, emulatorFiles);
    },

    async flushEmulator(_: object): Promise<void> {
      await attached.emulator?.flush?.();
    },

    async detachProcessor(_: object): Promise<void> {
      await detach();
    },

    /** Its guest has switched itself off. */
    async powerOff(_: object): Promise<void> {
      await machine.powerOff();
    },
  };
}

/** Files and web servers' files, and what is kept of them. */
function imageFunctions(graph: BlockGraph, { platform, httpCache }: ServiceOptions) {
  return {
    async registerBlob({ name, blob }: { name: string; blob: Blob }): Promise<void> {
      if (!platform.blobs) throw new BlockError('ENOTSUP', 'This host takes no Blobs');
      platform.blobs.register(name, blob);
    },

    async unregisterBlob({ name }: { name: string }): Promise<void> {
      platform.blobs?.unregister(name);
    },

    async prefetchList({ node }: { node: string }): Promise<PrefetchList> {
      return prefetchListBelow(graph.getNode(node));
    },

    async httpCacheBytes(_: object): Promise<number> {
      return (await httpCache?.getSize()) ?? 0;
    },

    async clearHttpCache(_: object): Promise<void> {
      await httpCache?.clear();
    },

    /** What an overlay's side file says of its base, and what the base is now. */
    async compareBase({ overlay, node }: { overlay: string; node: string }) {
      const recorded = await readIdentity(platform, overlay);
      return { recorded, present: await identifyBase(graph.getNode(node)) };
    },

    async recordBase({ overlay, base }: { overlay: string; base: BaseIdentity }): Promise<void> {
      await writeIdentity(platform, overlay, base);
    },

    async fileExists({ path }: { path: string }): Promise<boolean> {
      try {
        return (await platform.files.stat(path)).size > 0;
      } catch (error) {
        if (error instanceof BlockError && error.errno === 'ENOENT') return false;
        throw error;
      }
    },

    async removeFile({ path }: { path: string }): Promise<void> {
      await platform.files.unlink(path);
    },
  };
}

/** What happens in here, for those who watch. */
function traceFunctions({ clock }: Platform) {
  const watchers: (() => void)[] = [];
  return {
    stop(): void {
      for (const end of watchers) end();
    },

    /** Sends records of what happens from now on. Errors: a name of no event. */
    async trace({ events, port }: { events: readonly string[]; port: MessagePort }): Promise<void> {
      watchers.push(
        tracer.attach((record) => port.postMessage(record), clock, events),
        () => port.close(),
      );
    },
  };
}

/** Copies that the page fetches piece by piece. */
function exportFunctions(graph: BlockGraph) {
  /** Those that are still being opened are among them: `endAll` ends them too. */
  const exports = new Map<number, Promise<Export>>();
  let lastExport = 0;
  const endExport = async (id: number): Promise<void> => {
    const ending = exports.get(id);
    exports.delete(id);
    await (await ending)?.chunks.return();
  };
  return {
    async endAll(): Promise<void> {
      // Whoever asked for one that cannot be opened has been told.
      await Promise.allSettled([...exports.keys()].map(endExport));
    },

    async openExport(source: ExportSource): Promise<{ id: number; bytes: number }> {
      const id = ++lastExport;
      const opening = loadPart(graph.platform, () => import('./export.ts')).then(({ openExport }) =>
        openExport(graph, source),
      );
      exports.set(id, opening);
      try {
        return { id, bytes: (await opening).bytes };
      } catch (error) {
        exports.delete(id);
        throw error;
      }
    },

    /** Undefined: that was all. */
    async readExport({ id }: { id: number }): Promise<Transferred<Uint8Array | undefined>> {
      const next = await (await exports.get(id))?.chunks.next();
      if (next && !next.done) return new Transferred(next.value, [next.value.buffer]);
      exports.delete(id);
      return new Transferred(undefined, []);
    },

    async closeExport({ id }: { id: number }): Promise<void> {
      await endExport(id);
    },
  };
}

function findDisk(machine: Machine, id: string): BlockDevice {
  const device = machine.findDevice(id);
  if (device instanceof BlockDevice) return device;
  throw new BlockError('ENODEV', `Device '${id}' ${device ? 'has no disk' : 'not found'}`, {
    class: 'DeviceNotFound',
  });
}
