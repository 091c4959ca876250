/**
 * A machine in this page: v86 on disks of the block layer in its worker.
 *
 * Each disk is a qcow2 overlay in the browser's storage, over the image it was started from, over a backup it was restored
 * from, or over nothing. Backups are files beside them; an incremental one has the one before as its backing file.
 */
import { guestKernel } from '../emulator/guest/index.ts';
import {
  BlockError,
  type Blockyard,
  keepFiles,
  openBlockyard,
  type V86Constructor,
  type V86Disk,
  type V86Emulator,
} from '../library/index.ts';
import type { Monitor } from './answers.ts';
import { firmwareOptions } from './firmware.ts';
import { loadState, type MachineState, saveState } from './machine-state.ts';
import type { Backup, ImageSource, MachinePlan, Session } from './session.ts';

const disks = ['a', 'b'] as const;
type Disk = (typeof disks)[number];

/** Of a disk that starts empty. */
const emptyDiskBytes = 64 << 20;
const videoMemoryBytes = 8 << 20;
const bitmap = 'changes';
/** Larger downloads go straight into a file that the user chooses, where the browser can do that. */
const largeDownloadBytes = 256 << 20;
const qcow2Magic = [0x51, 0x46, 0x49, 0xfb];

const nodeOf = (disk: Disk): string => `disk-${disk}`;

/** v86 as far as the page talks to it. */
interface Emulator extends V86Emulator {
  serial_send_bytes(serial: number, bytes: Uint8Array): void;
  keyboard_set_enabled(isEnabled: boolean): void;
  keyboard_send_scancodes(codes: readonly number[]): Promise<void>;
}

/** Boots. `screen`: where v86 draws, with a `div` for text and a `canvas`. Errors: of disks and images. */
export async function startMachine(plan: MachinePlan, screen: HTMLElement): Promise<Session> {
  const yard = await openBlockyard({ workerUrl: new URL('browser/worker.js', location.href) });
  try {
    const session = new MachineSession(yard, plan, screen, await loadState(plan.name, disks));
    await session.start();
    return session;
  } catch (error) {
    await yard.close();
    throw error;
  }
}

class MachineSession implements Session {
  readonly monitor: Monitor;
  private readonly serialListeners: ((bytes: Uint8Array) => void)[] = [];
  private emulator: Emulator | undefined;
  private drives: readonly V86Disk[] = [];
  private isBackingUp = false;
  private hasKeyboard = false;

  constructor(
    private readonly yard: Blockyard,
    readonly plan: MachinePlan,
    private readonly screen: HTMLElement,
    private readonly state: MachineState,
  ) {
    this.monitor = {
      qmp: (command, args) => yard.qmp(command, args),
      onEvent: (listener) => void yard.on('*', listener),
    };
  }

  get backups(): readonly Backup[] {
    return this.state.backups;
  }

  get canIncrement(): boolean {
    return (this.backups.at(-1)?.number ?? 0) > this.state.unrelated;
  }

  canDelete({ number }: Backup): boolean {
    return this.backups.at(-1)?.number === number && number !== this.state.base;
  }

  // The machine.

  async start(): Promise<void> {
    await keepFiles();
    await this.openDisks();
    await saveState(this.plan.name, this.state);
    await this.boot();
  }

  /** All of them, or none. */
  private async openDisks(): Promise<void> {
    const open: Disk[] = [];
    try {
      for (const disk of disks) {
        await this.openDisk(disk);
        open.push(disk);
      }
    } catch (error) {
      for (const disk of open) await this.yard.remove(nodeOf(disk));
      throw error;
    }
  }

  private async openDisk(disk: Disk): Promise<void> {
    const { yard, state } = this;
    const [node, file] = [nodeOf(disk), state.files[disk]!]; // an open disk has one
    const base = await this.baseOf(disk);
    if (base) {
      await yard.openOverlay({ node, file, base });
      return;
    }
    try {
      await yard.createImage(file, { size: emptyDiskBytes });
    } catch (error) {
      // It is there from an earlier visit.
      if (!(error instanceof BlockError && error.errno === 'EEXIST')) throw error;
    }
    await yard.add({ driver: 'qcow2', 'node-name': node, file: { driver: 'opfs', filename: file } });
  }

  /** Options of the node below the overlay; undefined: there is none. */
  private async baseOf(disk: Disk) {
    const { state, plan } = this;
    if (state.base !== undefined) return imageOptions(this.fileOf(state.base, disk));
    const isOnImage = plan.boot === 'embedded' || disk === 'a';
    return plan.image && isOnImage ? this.imageOptions(plan.image) : undefined;
  }

  private fileOf(number: number, disk: Disk): string {
    const backup = this.backups.find((one) => one.number === number)!; // a base is not deleted
    return backup.files.find((file) => file.disk === disk)!.path; // of every disk
  }

  private async imageOptions(image: ImageSource) {
    if (image.type === 'url') {
      const head = await fetch(image.url, { headers: { Range: 'bytes=0-3' } });
      if (!head.ok) throw new Error(`${image.url}: ${head.status} ${head.statusText}`);
      const isQcow2 = startsAsQcow2(new Uint8Array(await head.arrayBuffer()));
      const driver = new URL(image.url).protocol === 'https:' ? 'https' : 'http';
      // Somebody watches, and can do something about it: not for long is it only tried again.
      return { driver: isQcow2 ? 'qcow2' : 'raw', file: { driver, url: image.url, 'x-retry': 10 } };
    }
    await this.yard.registerBlob('image', image.file);
    const isQcow2 = startsAsQcow2(new Uint8Array(await image.file.slice(0, 4).arrayBuffer()));
    return { driver: isQcow2 ? 'qcow2' : 'raw', file: { driver: 'blob', filename: 'image' } };
  }

  private async boot(): Promise<void> {
    const { yard, plan, screen } = this;
    await yard.qmp('stop');
    const url = new URL('v86/libv86.mjs', location.href).href;
    const { V86 } = (await import(url)) as { V86: V86Constructor<Emulator> };
    // In their order: the first is the first one on the bus.
    const hda = await yard.disk({ node: nodeOf('a') });
    const hdb = await yard.disk({ node: nodeOf('b') });
    this.drives = [hda, hdb];
    const firmware = plan.boot === 'embedded' ? { multiboot: guestKernel() } : await firmwareOptions();
    this.emulator = await yard.start(V86, {
      wasm_path: 'v86/v86.wasm',
      memory_size: plan.memoryMiB << 20,
      vga_memory_size: videoMemoryBytes,
      screen_container: screen,
      disable_speaker: true,
      ...firmware,
      hda,
      hdb,
    });
    this.emulator.keyboard_set_enabled(this.hasKeyboard);
    this.emulator.add_listener('serial0-output-byte', (byte?: number) => {
      for (const listener of this.serialListeners) listener(Uint8Array.of(byte!)); // it comes with the event
    });
    await yard.qmp('cont');
  }

  private async shutDown(): Promise<void> {
    const { yard, emulator } = this;
    await yard.qmp('stop');
    await yard.flush();
    await yard.detach();
    this.emulator = undefined;
    await emulator?.destroy();
    for (const drive of this.drives) await yard.removeDisk(drive);
    for (const disk of disks) await yard.remove(nodeOf(disk));
    // v86 has drawn into it.
    this.screen.innerHTML = '<div></div><canvas></canvas>';
  }

  onSerial(listener: (bytes: Uint8Array) => void): void {
    this.serialListeners.push(listener);
  }

  sendSerial(text: string): void {
    this.emulator?.serial_send_bytes(0, new TextEncoder().encode(text));
  }

  setKeyboard(isOn: boolean): void {
    this.hasKeyboard = isOn;
    this.emulator?.keyboard_set_enabled(isOn);
  }

  sendScancodes(codes: readonly number[]): void {
    void this.emulator?.keyboard_send_scancodes(codes);
  }

  // Copies.

  async backUp(kind: Backup['kind']): Promise<void> {
    if (this.isBackingUp) throw new Error('A backup is being made: wait until it is complete.');
    this.isBackingUp = true;
    try {
      await this.makeBackup(kind);
    } finally {
      this.isBackingUp = false;
    }
  }

  private async makeBackup(kind: Backup['kind']): Promise<void> {
    const { yard, state, plan } = this;
    const number = (this.backups.at(-1)?.number ?? 0) + 1;
    const since = kind === 'incremental' ? this.backups.at(-1)?.number : undefined;
    if (kind === 'full') await this.dropBitmaps();
    const files = disks.map((disk) => ({ disk, path: `${plan.name}-backup-${number}-${disk}.qcow2` }));
    await this.removeUnfinished();
    state.unfinished = files.map(({ path }) => path);
    await saveState(plan.name, state);
    const backup = await yard.backup({
      disks: Object.fromEntries(
        files.map(({ disk, path }) => [
          nodeOf(disk),
          { target: path, bitmap, ...(since === undefined ? {} : { since: this.fileOf(since, disk) }) },
        ]),
      ),
    });
    await backup.done;
    state.backups.push({ number, kind, madeAt: new Date().toISOString(), files });
    state.unfinished = [];
    await saveState(plan.name, state);
  }

  /** A page that was closed while it made a backup has left a part of it. */
  private async removeUnfinished(): Promise<void> {
    const { yard, state, plan } = this;
    for (const path of state.unfinished) await yard.removeFile(path).catch(ignoreAbsence);
    state.unfinished = [];
    await saveState(plan.name, state);
  }

  /** A full backup begins them anew. */
  private async dropBitmaps(): Promise<void> {
    const nodes = (await this.yard.qmp('query-named-block-nodes', { flat: true })) as unknown as {
      'node-name': string;
      'dirty-bitmaps'?: { name?: string }[];
    }[];
    for (const node of disks.map(nodeOf)) {
      const found = nodes.find((one) => one['node-name'] === node)?.['dirty-bitmaps'] ?? [];
      if (found.some(({ name }) => name === bitmap)) {
        await this.yard.qmp('block-dirty-bitmap-remove', { node, name: bitmap });
      }
    }
  }

  async snapshot(name: string): Promise<void> {
    await this.yard.qmp('transaction', {
      actions: disks.map((disk) => ({
        type: 'blockdev-snapshot-internal-sync',
        data: { device: nodeOf(disk), name },
      })),
    });
  }

  async restore({ number }: Backup): Promise<void> {
    const { state, plan } = this;
    await this.shutDown();
    const before = structuredClone(state);
    state.names++;
    for (const disk of disks) state.files[disk] = `${plan.name}-${disk}-${state.names}.qcow2`;
    state.base = number;
    state.unrelated = this.backups.at(-1)?.number ?? 0;
    try {
      await this.start();
    } catch (error) {
      Object.assign(state, before);
      await this.start();
      throw error;
    }
  }

  async deleteBackup(backup: Backup): Promise<void> {
    if (!this.canDelete(backup)) throw new Error('Something builds on it.');
    const { state, plan } = this;
    state.backups.pop();
    // The bitmaps tell what has changed since it, not since the one before.
    state.unrelated = this.backups.at(-1)?.number ?? 0;
    await saveState(plan.name, state);
    for (const { path } of backup.files) await this.yard.removeFile(path);
  }

  async download(backup: Backup, disk: string): Promise<void> {
    const { yard } = this;
    const node = `download-${backup.number}-${disk}`;
    await yard.add({
      ...imageOptions(this.fileOf(backup.number, disk as Disk)),
      'node-name': node,
      'read-only': true,
    });
    try {
      const { stream, bytes } = await yard.exportImage({ node, format: 'qcow2' });
      await save(stream, bytes, `${this.plan.name}-${disk}-${backup.number}.qcow2`);
    } finally {
      await yard.remove(node);
    }
  }
}

function ignoreAbsence(error: unknown): void {
  if (!(error instanceof BlockError && error.errno === 'ENOENT')) throw error;
}

function imageOptions(path: string) {
  return { driver: 'qcow2', file: { driver: 'opfs', filename: path } };
}

function startsAsQcow2(head: Uint8Array): boolean {
  return qcow2Magic.every((byte, i) => head[i] === byte);
}

interface FilePicker {
  showSaveFilePicker?(options: { suggestedName: string }): Promise<FileSystemFileHandle>;
}

async function save(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  bytes: number,
  name: string,
): Promise<void> {
  const { showSaveFilePicker } = globalThis as FilePicker;
  if (bytes > largeDownloadBytes && showSaveFilePicker) {
    const handle = await showSaveFilePicker.call(globalThis, { suggestedName: name });
    return stream.pipeTo(await handle.createWritable());
  }
  const link = document.createElement('a');
  link.href = URL.createObjectURL(await new Response(stream).blob());
  link.download = name;
  link.click();
  // The browser has taken hold of it by then.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  return undefined;
}
