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
  type JsonObject,
  keepFiles,
  openBlockyard,
  type V86Constructor,
  type V86Disk,
  type V86Emulator,
} from '../library/index.ts';
import { rootDirectory } from '../platform/browser/paths.ts';
import type { Monitor, NodeInfo } from './answers.ts';
import { download } from './download.ts';
import { embeddedDisk } from './embedded-disks.ts';
import { firmwareOptions } from './firmware.ts';
import { readLimits, setLimits } from './guest-limits.ts';
import { longestWaitMs, watchWaits } from './guest-waits.ts';
import { imageNode } from './image-source.ts';
import { incrementalRefusal } from './incremental-words.ts';
import { keptPlan } from './kept-plan.ts';
import { holdMachine } from './machine-lock.ts';
import { cdNode, mediaOptions } from './machine-media.ts';
import {
  disks,
  forgetChanges,
  freshState,
  type MachineState,
  readState,
  renameDisks,
  saveState,
} from './machine-state.ts';
import { proveCopies } from './one-instant.ts';
import { listFiles, removeFiles, sizeOf } from './own-files.ts';
import type { Backup, MachinePlan, Proof, Restored, Session } from './session.ts';

type Disk = (typeof disks)[number];

/** Of a disk that starts empty. */
const emptyDiskBytes = 64 << 20;
/** There is to be room for a system that somebody installs: no more is taken than is written. */
const installDiskBytes = 4 * 1024 ** 3;
const videoMemoryBytes = 8 << 20;
const bitmap = 'changes';
/** Of the embedded guest's disks, whose copying one wants to see. */
const shownSpeed = 16 << 20;

const nodeOf = (disk: Disk): string => `disk-${disk}`;
const nodes = [nodeOf('a'), nodeOf('b')] as const;

/** v86 as far as the page talks to it. */
type Emulator = V86Emulator & {
  serial_send_bytes(serial: number, bytes: Uint8Array): void;
  keyboard_set_enabled(isEnabled: boolean): void;
  keyboard_send_scancodes(codes: readonly number[]): Promise<void>;
  add_listener(event: 'cpu-event-halt', listener: () => void): void;
};

/**
 * Boots. `screen`: where v86 draws, with a `div` for text and a `canvas`. Errors: of disks and images, and that another tab has the
 * machine.
 */
export async function startMachine(plan: MachinePlan, screen: HTMLElement): Promise<Session> {
  // Where the browser keeps nothing for this page, it says so before a lock does.
  await rootDirectory();
  const letGo = await holdMachine(plan.name);
  try {
    const kept = await readState(plan.name);
    const state = kept ?? freshState(plan.name, plan.boot === 'embedded');
    const before = await listFiles();
    const yard = await openBlockyard({ workerUrl: new URL('browser/worker.js', location.href) });
    try {
      const session = new MachineSession(yard, plan, screen, state, letGo);
      await session.start();
      return session;
    } catch (error) {
      await yard.close();
      // A machine that has never run leaves nothing.
      if (!kept) await removeFiles(Object.values(state.files).filter((file) => !before.has(file)));
      throw error;
    }
  } catch (error) {
    letGo();
    throw error;
  }
}

class MachineSession implements Session {
  readonly monitor: Monitor;
  restored: Restored | undefined;
  busyWith: string | undefined;
  isHalted = false;
  backupSpeed: number;
  private readonly serialListeners: ((bytes: Uint8Array) => void)[] = [];
  private emulator: Emulator | undefined;
  private drives: readonly V86Disk[] = [];
  private limits: readonly JsonObject[] = [];
  private backupJobs: readonly string[] = [];
  private hasKeyboard = false;

  constructor(
    private readonly yard: Blockyard,
    readonly plan: MachinePlan,
    private readonly screen: HTMLElement,
    private readonly state: MachineState,
    private readonly letGo: () => void,
  ) {
    this.backupSpeed = plan.boot === 'embedded' && !plan.image ? shownSpeed : 0;
    this.monitor = {
      qmp: (command, args) => yard.qmp(command, args),
      onEvent: (listener) => void yard.on('*', listener),
    };
    yard.on('RESET', () => {
      this.isHalted = false;
    });
  }

  get backups(): readonly Backup[] {
    return this.state.backups;
  }

  get whyNotIncremental(): string | undefined {
    return incrementalRefusal(this.state);
  }

  canDelete({ number }: Backup): boolean {
    return this.backups.at(-1)?.number === number && number !== this.state.base;
  }

  // The machine.

  async start(): Promise<void> {
    await keepFiles();
    await this.openDisks();
    await this.checkBitmaps();
    await this.boot();
    // What it was started with is kept once it can be: an address that is none would fail it again.
    this.state.plan = keptPlan(this.plan);
    await saveState(this.plan.name, this.state);
    await setLimits(this.monitor, this.limits);
    await this.yard.qmp('cont');
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
    const { yard, state, plan } = this;
    const [node, file] = [nodeOf(disk), state.files[disk]!]; // an open disk has one
    const base = await this.baseOf(disk);
    if (base) {
      await yard.openOverlay({ node, file, base });
      return;
    }
    try {
      const isForSystem = plan.boot === 'disk' && disk === 'a';
      await yard.createImage(file, { size: isForSystem ? installDiskBytes : emptyDiskBytes });
    } catch (error) {
      // It is there from an earlier visit.
      if (!(error instanceof BlockError && error.errno === 'EEXIST')) throw error;
    }
    await yard.add({ driver: 'qcow2', 'node-name': node, file: { driver: 'opfs', filename: file } });
  }

  /** Options of the node below the overlay; undefined: there is none. */
  private async baseOf(disk: Disk): Promise<JsonObject | undefined> {
    const { state, plan, yard } = this;
    if (state.base !== undefined) return ownImage(this.fileOf(state.base, disk));
    const source = plan.boot === 'embedded' || disk === 'a' ? plan.image : plan.media?.secondDisk;
    if (source) return imageNode(yard, `image-${disk}`, source);
    if (plan.boot !== 'embedded' || !state.isFilled) return undefined;
    const filename = `embedded-${disk}`;
    await yard.registerBlob(filename, embeddedDisk(disk));
    return { driver: 'raw', file: { driver: 'blob', filename } };
  }

  private fileOf(number: number, disk: Disk): string {
    const backup = this.backups.find((one) => one.number === number)!; // a base is not deleted
    return backup.files.find((file) => file.disk === disk)!.path; // of every disk
  }

  /** What tells of changes may have gone with a browser that was killed, or tell of those since a backup that never was. */
  private async checkBitmaps(): Promise<void> {
    const { state } = this;
    if (state.unfinished.length > 0) forgetChanges(state, 'interrupted');
    if (this.whyNotIncremental !== undefined) return;
    if ((await this.nodesWithBitmap()).length < nodes.length) forgetChanges(state, 'failed');
  }

  /** Up to where it could run. */
  private async boot(): Promise<void> {
    const { yard, plan, screen, state } = this;
    await yard.qmp('stop');
    const url = new URL('v86/libv86.mjs', location.href).href;
    const { V86 } = (await import(url)) as { V86: V86Constructor<Emulator> };
    // In their order: the first is the first one on the bus.
    const hda = await yard.disk({ node: nodeOf('a') });
    const hdb = await yard.disk({ node: nodeOf('b') });
    this.drives = [hda, hdb];
    const { options, drives } = await mediaOptions(yard, plan);
    this.drives = [...this.drives, ...drives];
    const firmware = plan.boot === 'embedded' ? { multiboot: guestKernel() } : await firmwareOptions();
    this.emulator = await yard.start(V86, {
      wasm_path: 'v86/v86.wasm',
      memory_size: plan.memoryMiB << 20,
      vga_memory_size: videoMemoryBytes,
      screen_container: screen,
      disable_speaker: true,
      acpi: plan.boot === 'disk' && state.hasPowerManagement === true,
      ...firmware,
      ...options,
      hda,
      hdb,
    });
    this.emulator.keyboard_set_enabled(this.hasKeyboard);
    this.emulator.add_listener('serial0-output-byte', (byte?: number) => {
      for (const listener of this.serialListeners) listener(Uint8Array.of(byte!)); // it comes with the event
    });
    // Processors that halt without interrupts do so for ever.
    this.emulator.add_listener('cpu-event-halt', () => {
      this.isHalted = true;
    });
    this.isHalted = false;
  }

  private async shutDown(): Promise<void> {
    const { yard, emulator } = this;
    this.limits = await readLimits(this.monitor, nodes);
    await yard.qmp('stop');
    await yard.flush();
    await yard.detach();
    await this.reviveMachine();
    this.emulator = undefined;
    await emulator?.destroy();
    for (const drive of this.drives) await yard.removeDisk(drive);
    for (const node of nodes) await yard.remove(node);
    if (this.plan.media?.cd) await yard.remove(cdNode);
    // v86 has drawn into it.
    this.screen.innerHTML = '<div></div><canvas></canvas>';
  }

  /** A machine that its guest has switched off takes nothing else before. */
  private async reviveMachine(): Promise<void> {
    const { status } = (await this.yard.qmp('query-status')) as { status: string };
    if (status === 'shutdown') await this.yard.qmp('system_reset');
  }

  async powerOff(): Promise<void> {
    await this.alone('Powering off', () => this.shutDown());
    await this.yard.close();
    this.letGo();
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

  /** What must not meet another one of its kind. */
  private async alone(what: string, act: () => Promise<void>): Promise<void> {
    if (this.busyWith !== undefined) throw new Error(`${this.busyWith}: wait until that is over.`);
    this.busyWith = what;
    try {
      await act();
    } finally {
      this.busyWith = undefined;
    }
  }

  // Copies.

  async setBackupSpeed(bytesPerSecond: number): Promise<void> {
    this.backupSpeed = bytesPerSecond;
    for (const device of this.backupJobs) {
      await this.yard.qmp('block-job-set-speed', { device, speed: bytesPerSecond });
    }
  }

  backUp(kind: Backup['kind']): Promise<void> {
    return this.alone('A backup is being made', () => this.makeBackup(kind));
  }

  private async makeBackup(kind: Backup['kind']): Promise<void> {
    const { state, plan, monitor } = this;
    const number = (this.backups.at(-1)?.number ?? 0) + 1;
    const since = kind === 'incremental' ? this.backups.at(-1)?.number : undefined;
    const files = disks.map((disk) => ({ disk, path: `${plan.name}-backup-${number}-${disk}.qcow2` }));
    await this.removeUnfinished();
    if (kind === 'full') {
      // Until it is complete the bitmaps tell of changes since nothing that is there.
      forgetChanges(state, 'failed');
      await this.dropBitmaps();
    }
    state.unfinished = files.map(({ path }) => path);
    await saveState(plan.name, state);
    await watchWaits(monitor, nodes);
    const begun = performance.now();
    try {
      await this.copy(files, since);
    } catch (error) {
      await this.removeUnfinished();
      throw error;
    }
    const tookMs = performance.now() - begun;
    const wait = (await longestWaitMs(monitor, nodes)) ?? null;
    const made = { number, kind, files, madeAt: new Date(Date.now() - tookMs).toISOString(), tookMs };
    const proof = await this.proofOf(files.map(({ path }) => path));
    const bytes = await sizeOf(files.map(({ path }) => path));
    state.backups.push({ ...made, bytes, longestWaitMs: wait, ...(proof ? { proof } : {}) });
    state.unfinished = [];
    await saveState(plan.name, state);
  }

  private async copy(files: Backup['files'], since: number | undefined): Promise<void> {
    const plans = files.map(({ disk, path }) => [
      nodeOf(disk as Disk),
      {
        target: path,
        bitmap,
        ...(since === undefined ? {} : { since: this.fileOf(since, disk as Disk) }),
      },
    ]);
    const backup = await this.yard.backup({ disks: Object.fromEntries(plans), speed: this.backupSpeed });
    this.backupJobs = backup.jobs;
    try {
      await backup.done;
    } finally {
      this.backupJobs = [];
    }
  }

  /** Of images in the browser's storage, by their content. Undefined unless the guest is one that writes records. */
  private async proofOf(paths: readonly string[]): Promise<Proof | undefined> {
    if (this.plan.boot !== 'embedded') return undefined;
    const names = ['proof-a', 'proof-b'] as const;
    const open: string[] = [];
    try {
      for (const [i, name] of names.entries()) {
        await this.yard.add({ ...ownImage(paths[i]!), 'node-name': name, 'read-only': true }); // one for each disk
        open.push(name);
      }
      return await proveCopies(this.yard, names);
    } finally {
      for (const name of open) await this.yard.remove(name);
    }
  }

  /** A page that was closed while it made a backup has left a part of it. */
  private async removeUnfinished(): Promise<void> {
    const { state, plan } = this;
    await removeFiles(state.unfinished);
    state.unfinished = [];
    await saveState(plan.name, state);
  }

  private async nodesWithBitmap(): Promise<string[]> {
    const infos = (await this.yard.qmp('query-named-block-nodes', { flat: true })) as unknown as NodeInfo[];
    return nodes.filter((node) => {
      const found = infos.find((one) => one['node-name'] === node)?.['dirty-bitmaps'] ?? [];
      return found.some(({ name, inconsistent }) => name === bitmap && !inconsistent);
    });
  }

  /** A full backup begins them anew. */
  private async dropBitmaps(): Promise<void> {
    const infos = (await this.yard.qmp('query-named-block-nodes', { flat: true })) as unknown as NodeInfo[];
    for (const node of nodes) {
      const found = infos.find((one) => one['node-name'] === node)?.['dirty-bitmaps'] ?? [];
      if (found.some(({ name }) => name === bitmap)) {
        await this.yard.qmp('block-dirty-bitmap-remove', { node, name: bitmap });
      }
    }
  }

  restore(backup: Backup): Promise<void> {
    return this.alone('Disks are being put back', () => this.putBack(backup));
  }

  private async putBack({ number, files }: Backup): Promise<void> {
    const { state, plan } = this;
    await this.shutDown();
    const before = structuredClone(state);
    renameDisks(plan.name, state);
    state.base = number;
    forgetChanges(state, 'restored');
    try {
      const proof = await this.proofOf(files.map(({ path }) => path));
      await this.start();
      this.restored = { number, proof };
    } catch (error) {
      const made = Object.values(state.files);
      Object.assign(state, before);
      await removeFiles(made);
      await this.start();
      throw error;
    }
    await removeFiles(Object.values(before.files));
  }

  async deleteBackup(backup: Backup): Promise<void> {
    if (!this.canDelete(backup)) throw new Error('Something builds on it.');
    const { state, plan } = this;
    state.backups.pop();
    // The bitmaps tell what has changed since it, not since the one before.
    forgetChanges(state, 'deleted');
    await saveState(plan.name, state);
    await removeFiles(backup.files.map(({ path }) => path));
  }

  async download(backup: Backup, disk: string): Promise<void> {
    const { yard } = this;
    const node = `download-${backup.number}-${disk}`;
    const image = ownImage(this.fileOf(backup.number, disk as Disk));
    await yard.add({ ...image, 'node-name': node, 'read-only': true });
    try {
      const { stream, bytes } = await yard.exportImage({ node, format: 'qcow2' });
      await download(stream, bytes, `${this.plan.name}-${disk}-${backup.number}.qcow2`);
    } finally {
      await yard.remove(node);
    }
  }

  // Machines that are kept inside the disks.

  saveMachine(name: string): Promise<void> {
    return this.alone('The machine is being saved', () => this.yard.saveMachine(name));
  }

  loadMachine(name: string): Promise<void> {
    return this.alone('A saved machine is being loaded', async () => {
      const { state, plan } = this;
      // They would tell of the wrong changes afterwards: a disk that has some does not go back.
      forgetChanges(state, 'loaded');
      await saveState(plan.name, state);
      await this.dropBitmaps();
      await this.reviveMachine();
      await this.yard.loadMachine(name);
      this.isHalted = false;
      this.restored = undefined;
    });
  }

  deleteSaved(name: string): Promise<void> {
    return this.alone('A saved machine is being deleted', () => this.yard.deleteMachine(name));
  }
}

function ownImage(path: string): JsonObject {
  return { driver: 'qcow2', file: { driver: 'opfs', filename: path } };
}
