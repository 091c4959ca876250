/**
 * The block layer as a page has it: everything is done in a worker, and asked for here.
 */

import { BlockError } from '../base/errors.ts';
import { withoutUndefined } from '../base/without-undefined.ts';
import type { FlushPolicy } from '../emulator/local-disk.ts';
import { V86Disk, type V86DiskKind } from '../emulator/v86/disk.ts';
import { createV86, type V86Constructor, type V86Emulator } from '../emulator/v86/emulator.ts';
import type { FileSources } from '../emulator/v86/files.ts';
import { onPowerOff } from '../emulator/v86/power-off.ts';
import { V86Processor } from '../emulator/v86/processor.ts';
import { V86State } from '../emulator/v86/state.ts';
import type { PrefetchList } from '../protocols/http/driver.ts';
import type { JsonObject, JsonValue } from '../qapi/json-value.ts';
import { type EventListener, QmpClient } from '../qmp/client.ts';
import type { TraceRecord } from '../trace/event.ts';
import { type Backup, type BackupPlan, startBackup } from './backup.ts';
import type { ExportSource } from './export.ts';
import { addNode, formatFile } from './images.ts';
import { type OverlayOptions, openOverlay } from './overlay.ts';
import { PortConnection } from './port-connection.ts';
import { serveProcessor } from './processor-port.ts';
import { RemoteGuestDisk } from './remote-disk.ts';
import type { EmulatorOptions, RemoteEmulator } from './remote-emulator.ts';
import { Calls } from './rpc.ts';
import type { ServiceFunctions } from './service.ts';

/** A disk of the machine, and what becomes of requests that fail. */
export interface DiskOptions {
  /** Node that the disk shows. */
  readonly node: string;
  /** Of the machine's device, under which commands and events name the disk. Default: the node's name. */
  readonly id?: string;
  /** Default: `disk`. */
  readonly kind?: V86DiskKind;
  /**
   * What becomes of a request that fails: `stop` (default) stops the machine until `cont`, and then the request is
   * tried again; `enospc` does so when there is no space; `report` and `ignore` only tell of it by an event, and the
   * guest reads zeros.
   */
  readonly rerror?: 'stop' | 'report' | 'ignore';
  readonly werror?: 'stop' | 'report' | 'ignore' | 'enospc';
  /** When the guest is told that a write is done. Default: `{ safe: 'process', flushMs: 1000 }`. */
  readonly flushPolicy?: FlushPolicy;
  /** What the page keeps at hand of it, in bytes. Default: 16 MiB; none unless `rerror` is `stop`. */
  readonly cacheBytes?: number;
}

/** An empty image. */
export interface NewImage {
  /** Bytes; what the guest sees. */
  readonly size: number;
  /** Default: `qcow2`. */
  readonly format?: 'qcow2' | 'raw';
}

/** What is watched, and who is told. */
export interface TraceOptions {
  readonly events: readonly string[];
  readonly sink: (record: TraceRecord) => void;
}

interface YardOptions {
  /** By which driver files are named in blockdev options. */
  readonly fileDriver: string;
  /** Where an emulator's own files come from. */
  readonly emulatorFiles: FileSources;
}

const defaultFlushPolicy: FlushPolicy = { safe: 'process', flushMs: 1000 };

/** A whole block layer: files and nodes, a machine with its disks, backups, and the monitor for all the rest. */
export class Blockyard {
  private readonly disks = new Map<V86Disk, { id: string; remote: RemoteGuestDisk }>();
  /** The bases that were opened for overlays. */
  private readonly bases = new Map<string, string>();
  private readonly atClose: (() => void)[] = [];
  private readonly numbers = { backup: 0, image: 0 };
  private processor: V86Processor | undefined;
  private isClosed = false;

  private constructor(
    private readonly calls: Calls<ServiceFunctions>,
    private readonly monitor: QmpClient,
    private readonly options: YardOptions,
  ) {
    // A machine that stood may go on with other disks than it had: a snapshot was loaded.
    monitor.on('RESUME', () => {
      for (const { remote } of this.disks.values()) remote.forgetContent();
    });
  }

  /** `port`: one whose other end a service serves. Pages call `openBlockyard`. */
  static async connect(port: MessagePort, options: YardOptions): Promise<Blockyard> {
    const calls = new Calls<ServiceFunctions>(port);
    const { port1, port2 } = new MessageChannel();
    await calls.call('connectMonitor', { port: port2 }, [port2]);
    return new Blockyard(calls, await QmpClient.connect(new PortConnection(port1)), options);
  }

  // The monitor.

  /** Runs a QMP command. Errors: QmpError. */
  qmp(command: string, args?: object): Promise<JsonValue> {
    return this.monitor.run(command, args);
  }

  /** Listens to a QMP event, or to all with `*`. Gives what ends the listening. */
  on(event: string, listener: EventListener): () => void {
    return this.monitor.on(event, listener);
  }

  nextNumber(kind: 'backup' | 'image'): number {
    this.numbers[kind]++;
    return this.numbers[kind];
  }

  /**
   * A monitor of its own for whoever gets the port: greeting, negotiation, commands and events as JSON texts, one in each
   * message; `null` ends it.
   */
  connectMonitor(): MessagePort {
    const { port1, port2 } = new MessageChannel();
    // A block layer that is gone answers nobody: the port closes.
    this.calls.call('connectMonitor', { port: port2 }, [port2]).catch(() => port1.close());
    return port1;
  }

  /**
   * Tells `sink` what happens in the worker from now on, as far as an event's name is among `events` or fits a pattern there:
   * `block_*`. What is watched is one for the worker, on Node for the thread: each sink gets all of it, and
   * `trace-event-set-state` changes it. Errors: there is no event of a name.
   */
  async trace({ events, sink }: TraceOptions): Promise<void> {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = ({ data }) => sink(data);
    await this.calls.call('trace', { events, port: port2 }, [port2]);
  }

  // Files and nodes.

  /** Makes a file with an empty image. Errors: BlockError EEXIST when there is such a file; QmpError. */
  async createImage(file: string, { size, format = 'qcow2' }: NewImage): Promise<void> {
    if (await this.calls.call('fileExists', { path: file }))
      throw new BlockError('EEXIST', `'${file}' exists`);
    await formatFile(this, this.options.fileDriver, file, { driver: format, size });
  }

  /** Makes a File or Blob what `{driver: 'blob', filename: name}` opens, until `unregisterBlob` or `close`. */
  async registerBlob(name: string, blob: Blob): Promise<void> {
    await this.calls.call('registerBlob', { name, blob });
  }

  /** Forgets what `registerBlob` was given; nodes that are open go on reading it. */
  async unregisterBlob(name: string): Promise<void> {
    await this.calls.call('unregisterBlob', { name });
  }

  /**
   * Opens a node: the options of `blockdev-add`, but that `http` and `https` take either address.
   * Errors: QmpError, with the address of what is not to be had from a server.
   */
  async add(options: JsonObject): Promise<void> {
    await addNode(this, options);
  }

  /**
   * Closes a node that `add` or `openOverlay` has opened, and the base that was opened for an overlay.
   * Errors: QmpError: it is in use.
   */
  async remove(node: string): Promise<void> {
    await this.qmp('blockdev-del', { 'node-name': node });
    const base = this.bases.get(node);
    this.bases.delete(node);
    if (base !== undefined) await this.qmp('blockdev-del', { 'node-name': base });
  }

  /**
   * Opens a qcow2 overlay, made first if there is none, over a base that stays as it is.
   * Errors: the base is not the one the overlay was made on, or is empty; QmpError.
   */
  async openOverlay(options: OverlayOptions): Promise<void> {
    const base = await openOverlay(this, this.calls, this.options, options);
    if (base !== undefined) this.bases.set(options.node, base);
  }

  // The machine.

  /** A disk for v86: what its options `hda`, `hdb` and `cdrom` take. Errors: QmpError; sizes that v86 cannot have. */
  async disk(options: DiskOptions): Promise<V86Disk> {
    const { node, id = node, kind = 'disk', rerror = 'stop', werror = 'stop' } = options;
    const { flushPolicy = defaultFlushPolicy } = options;
    const cacheBytes = rerror === 'stop' ? options.cacheBytes : 0;
    await this.qmp('device_add', {
      driver: kind === 'cdrom' ? 'ide-cd' : 'ide-hd',
      id,
      drive: node,
      rerror,
      werror,
    });
    const { port1, port2 } = new MessageChannel();
    const connecting = RemoteGuestDisk.connect(port1, withoutUndefined({ cacheBytes }));
    await this.calls.call('openDisk', { device: id, flushPolicy, port: port2 }, [port2]);
    const remote = await connecting;
    try {
      const disk = new V86Disk(remote, kind);
      this.disks.set(disk, { id, remote });
      return disk;
    } catch (error) {
      await remote.close();
      throw error;
    }
  }

  /** Takes a disk away from the machine. The emulator that had it must not run any more. */
  async removeDisk(disk: V86Disk): Promise<void> {
    const found = this.disks.get(disk);
    this.disks.delete(disk);
    await found?.remote.close();
  }

  /**
   * Makes a v86 with `options`, its own and disks of this yard among them, and has it run with the machine: `stop`, `cont`,
   * `system_reset` and `query-status` are about it, and it stands while a disk fails, and from when its guest switches itself off
   * (`SHUTDOWN`; v86's option `acpi`) until it is reset. Settles when it runs, or could.
   * Its files (`bios`, `vga_bios`, `multiboot`, `bzimage`, `initrd`, `initial_state`, `fda`, `fdb`) may be Files, addresses or
   * bytes, too. On Node, SeaBIOS is found where it is usually installed. Errors: one of them, or `wasm_path`, cannot be had; there is
   * no firmware.
   */
  async start<Emulator extends V86Emulator>(
    V86: V86Constructor<Emulator>,
    options: Readonly<Record<string, unknown>>,
  ): Promise<Emulator> {
    const emulator = await createV86(V86, options, this.options.emulatorFiles);
    await this.attach(emulator);
    return emulator;
  }

  /**
   * As `start`, with an emulator in the worker of the block layer: a request of its guest then takes a few microseconds, and the page's own
   * thread has nothing to do with it. `module` is the address of v86's module; `hda`, `hdb` and `cdrom` among `options` are what `disk` takes.
   * It has no sound. Errors: as those of `start`; QmpError; options that a worker cannot have.
   */
  async startInWorker(module: string | URL, options: EmulatorOptions): Promise<RemoteEmulator> {
    const { calls } = this;
    const { RemoteEmulator } = await import('./remote-emulator.ts');
    return RemoteEmulator.start(
      {
        connect: (port) => new Calls(port),
        start: (start, transfer) =>
          calls.call('startEmulator', { ...start, flushPolicy: defaultFlushPolicy }, transfer),
        detach: () => this.detach(),
      },
      module,
      options,
    );
  }

  /** As `start`, with an emulator that is ready and does not run. */
  async attach(emulator: V86Emulator): Promise<void> {
    const { port1, port2 } = new MessageChannel();
    const disks = [...this.disks];
    const processor = new V86Processor(
      emulator,
      disks.map(([disk]) => disk),
    );
    const named = disks.map(([disk, { id }]) => [`disk '${id}'`, disk] as const);
    serveProcessor(port1, processor, new V86State(emulator, processor, named));
    await this.calls.call('attachProcessor', { port: port2 }, [port2]);
    this.processor = processor;
    onPowerOff(emulator, () => {
      // A block layer that is gone need not hear of it, nor of an emulator that was detached.
      if (this.processor === processor) this.calls.call('powerOff', {}).catch(() => {});
    });
  }

  /** Ends what `attach` began, the emulator stands, and may be destroyed; or what `startInWorker` began. */
  async detach(): Promise<void> {
    this.processor = undefined;
    await this.calls.call('detachProcessor', {});
  }

  /**
   * Keeps the machine as it is, in place of one with the same name, in its disks: an internal snapshot of each that can be
   * written, which must be qcow2, and in that of the first the memory and devices of the emulator. The machine stands
   * meanwhile. Errors: QmpError; nothing is left of the name then.
   */
  async saveMachine(name: string): Promise<void> {
    await this.qmp('x-machine-save', { name });
  }

  /**
   * Goes back to a machine that was saved, with its disks; also after the page was loaded again, with an emulator of the same
   * options. Errors: QmpError; when it fails on the way, the machine stands, for memory and disks may not go together.
   */
  async loadMachine(name: string): Promise<void> {
    await this.qmp('x-machine-load', { name });
  }

  /** Forgets a machine that was saved. Errors: QmpError. */
  async deleteMachine(name: string): Promise<void> {
    await this.qmp('x-machine-delete', { name });
  }

  /** Settles when all that emulators have written is durable. */
  async flush(): Promise<void> {
    const remotes = [...this.disks.values()].map(({ remote }) => remote.flush());
    await Promise.all([...remotes, this.calls.call('flushEmulator', {})]);
  }

  // Copies.

  /**
   * Copies disks as they are at one instant, while they are in use, into new images. Settles when that instant is over:
   * the copying goes on. Errors: QmpError; nothing is left then.
   */
  backup(plan: BackupPlan): Promise<Backup> {
    return startBackup(this, this.calls, this.options, plan);
  }

  /**
   * A file, or what is on a node that nobody writes to, as a stream; `bytes` is its length. Cancelling the stream ends it.
   * Errors: no such file or node; it is being written.
   */
  async exportImage(
    source: ExportSource,
  ): Promise<{ stream: ReadableStream<Uint8Array<ArrayBuffer>>; bytes: number }> {
    const { calls } = this;
    const { id, bytes } = await calls.call('openExport', source);
    const stream = new ReadableStream<Uint8Array<ArrayBuffer>>(
      {
        async pull(controller) {
          const chunk = await calls.call('readExport', { id });
          if (chunk) controller.enqueue(chunk as Uint8Array<ArrayBuffer>);
          else controller.close();
        },
        cancel: () => calls.call('closeExport', { id }),
      },
      { highWaterMark: 1 },
    );
    return { stream, bytes };
  }

  /** Deletes a file that is not open. Errors: BlockError. */
  async removeFile(path: string): Promise<void> {
    await this.calls.call('removeFile', { path });
  }

  /**
   * Which parts of an image on a web server have been read since it was opened, in their order; `node` is that image or has it
   * below it. As JSON beside the image and named with the option `x-prefetch` of `http`, it has them fetched before they are
   * asked for. Errors: no such node; nothing of it is on a web server.
   */
  prefetchList(node: string): Promise<PrefetchList> {
    return this.calls.call('prefetchList', { node });
  }

  /**
   * What is kept of web servers' files beyond the page, in bytes: `httpCacheBytes` of `openBlockyard` bounds it. 0 on Node,
   * which keeps nothing.
   */
  httpCacheBytes(): Promise<number> {
    return this.calls.call('httpCacheBytes', {});
  }

  /** Forgets what is kept of web servers' files, but for those that another tab has open. */
  async clearHttpCache(): Promise<void> {
    await this.calls.call('clearHttpCache', {});
  }

  /** Has `act` done when everything is closed. */
  whenClosed(act: () => void): void {
    this.atClose.push(act);
  }

  /** Takes all disks away, ends jobs and closes files. Emulators must not run any more. */
  async close(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    for (const disk of [...this.disks.keys()]) await this.removeDisk(disk);
    await this.calls.call('close', {});
    this.letGo();
  }

  /** The block layer is gone, or is to be: whatever waits for it fails, what was not flushed may be lost. */
  abandon(): void {
    this.isClosed = true;
    this.letGo();
  }

  private letGo(): void {
    this.monitor.close();
    this.calls.close();
    for (const act of this.atClose.splice(0)) act();
  }
}
