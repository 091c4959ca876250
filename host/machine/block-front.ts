/**
 * The disk of a device: what stands between the guest's requests and a BlockBackend (specification: graph, sections 7,
 * 9 and 11).
 *
 * It holds the permissions that the device needs, applies rerror and werror to requests that fail, and knows the tray of
 * a drive that takes media. Requests wait while the machine is stopped. A request that stops the machine is tried again
 * when it goes on: the guest never sees it fail.
 */

import { assert } from '../base/assert.ts';
import { createDeferred } from '../base/deferred.ts';
import { asBlockError, BlockError, invalid, strerror } from '../base/errors.ts';
import { type AttachedDevice, BlockBackend } from '../block/backend.ts';
import type { WriteFlags, ZeroFlags } from '../block/driver.ts';
import { errorAction, type OnError } from '../block/error-policy.ts';
import type { BlockNode } from '../block/node.ts';
import { Perm } from '../block/permissions.ts';
import type { AccountedKind } from '../block/statistics.ts';
import type { Machine } from './machine.ts';

export interface FrontOptions {
  /** The device's id, or its path. */
  name: string;
  /** In the object model. */
  path: string;
  /** The type that has the `drive` property, for messages. */
  ownerType: string;
  /** Id of a drive or name of a node; empty: none. */
  drive: string;
  shareRw: boolean;
  rerror: OnError;
  werror: OnError;
  writeCache: 'auto' | 'on' | 'off';
  /** Its medium may change its length while in use. */
  canResize: boolean;
  /** What becomes of a medium that cannot be written. `always`: the device never writes. */
  readOnly: 'refused' | 'accepted' | 'always';
  /** Media come and go. */
  isRemovable: boolean;
  hasTray: boolean;
  reportsIoStatus: boolean;
}

export class BlockFront implements AttachedDevice {
  readonly name: string;
  readonly path: string;
  private trayOpen = false;
  private lockedByGuest = false;
  private isClosed = false;
  private readonly gone = createDeferred();

  private constructor(
    private readonly machine: Machine,
    private readonly options: FrontOptions,
    readonly backend: BlockBackend,
  ) {
    this.name = options.name;
    this.path = options.path;
  }

  /** Takes hold of the drive. Without one: an empty backend of its own. Errors: BlockError; nothing is held then. */
  static async open(machine: Machine, options: FrontOptions): Promise<BlockFront> {
    const backend = await claim(machine, options);
    const front = new BlockFront(machine, options, backend);
    backend.device = front;
    try {
      await front.applyOptions();
    } catch (error) {
      await front.close();
      throw error;
    }
    return front;
  }

  private async applyOptions(): Promise<void> {
    const { backend, options } = this;
    const { read, write } = backend.errorPolicies;
    backend.errorPolicies = {
      read: options.rerror === 'auto' ? read : options.rerror,
      write: options.werror === 'auto' ? write : options.werror,
    };
    if (options.writeCache !== 'auto') backend.writethrough = options.writeCache === 'off';
    await backend.setPermissions(this.wantedPermissions(), this.sharedPermissions());
  }

  private wantedPermissions(): number {
    const { backend, options } = this;
    const readOnly =
      options.readOnly === 'always' ||
      (options.readOnly === 'accepted' && backend.hasMedium && backend.node.readOnly);
    return Perm.consistentRead | (readOnly ? 0 : Perm.write);
  }

  private sharedPermissions(): number {
    const { shareRw, canResize } = this.options;
    return (
      Perm.consistentRead | Perm.writeUnchanged | (shareRw ? Perm.write : 0) | (canResize ? Perm.resize : 0)
    );
  }

  /** Gives the drive back; requests that wait fail. `deleteDrive`: a drive made by `-drive` goes with its device. */
  async close({ deleteDrive = false } = {}): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    this.gone.resolve();
    const { backend } = this;
    await backend.whenIdle();
    backend.device = undefined;
    if (backend.name === '' || deleteDrive) {
      this.machine.drives.forget(backend);
      await backend.delete();
      return;
    }
    await backend.setPermissions(Perm.none, Perm.all);
  }

  // What queries show.

  get isRemovable(): boolean {
    return this.options.isRemovable;
  }

  get isTrayOpen(): boolean | undefined {
    return this.options.hasTray ? this.trayOpen : undefined;
  }

  get isLocked(): boolean {
    return this.lockedByGuest;
  }

  get hasIoStatus(): boolean {
    const { read, write } = this.backend.errorPolicies;
    return this.options.reportsIoStatus && (write === 'enospc' || write === 'stop' || read === 'stop');
  }

  // Media.

  /** Before `node` becomes its medium: what may be asked of it depends on whether it can be written. */
  async prepareFor(node: BlockNode): Promise<void> {
    if (this.options.readOnly !== 'accepted') return;
    const perm = Perm.consistentRead | (node.readOnly ? 0 : Perm.write);
    await this.backend.setPermissions(perm, this.sharedPermissions());
  }

  /** As a guest does it: the tray opens only by force, or once it is unlocked. */
  setLocked(locked: boolean): void {
    this.lockedByGuest = locked;
  }

  get hasTray(): boolean {
    return this.options.hasTray;
  }

  openTray(): void {
    this.moveTray(true);
  }

  closeTray(): void {
    this.moveTray(false);
  }

  private moveTray(open: boolean): void {
    assert(this.hasTray, `${this.name} has no tray`);
    if (this.trayOpen === open) return;
    this.trayOpen = open;
    const { name: device } = this.backend;
    this.machine.emit({ name: 'DEVICE_TRAY_MOVED', data: { device, id: this.name, 'tray-open': open } });
  }

  // Requests of the guest. Bytes; errors as the guest sees them.

  /**
   * For an emulator that looks at the disk before it runs: whatever state the machine is in, and however errors are to
   * be treated, it is told.
   */
  readAtOnce(offset: number, buffer: Uint8Array): Promise<void> {
    return this.backend.read(offset, buffer);
  }

  /** As `read`, done when it returns. False: that cannot be, and `read` is to be used. */
  readNow(offset: number, buffer: Uint8Array): boolean {
    if (!this.machine.runState.isRunning || this.isClosed) return false;
    const { statistics } = this.backend;
    const account = statistics.start('read', buffer.length);
    if (!this.backend.readNow(offset, buffer)) return false;
    statistics.done(account);
    return true;
  }

  /** An error that is ignored makes it zeros. */
  async read(offset: number, buffer: Uint8Array): Promise<void> {
    const done = await this.perform('read', buffer.length, () => this.backend.read(offset, buffer));
    if (!done) buffer.fill(0);
  }

  async write(offset: number, buffer: Uint8Array, flags: WriteFlags = {}): Promise<void> {
    await this.perform('write', buffer.length, () => this.backend.write(offset, buffer, flags));
  }

  /** When it settles, data and metadata are in the file, durable or not: they outlive this process. */
  async writeOut(offset: number, buffer: Uint8Array): Promise<void> {
    await this.perform('write', buffer.length, async () => {
      await this.backend.write(offset, buffer);
      await this.backend.writeOut();
    });
  }

  async writeZeroes(offset: number, bytes: number, flags: ZeroFlags = {}): Promise<void> {
    await this.perform('write', bytes, () => this.backend.writeZeroes(offset, bytes, flags));
  }

  async discard(offset: number, bytes: number): Promise<void> {
    await this.perform('unmap', bytes, () => this.backend.discard(offset, bytes));
  }

  async flush(): Promise<void> {
    await this.perform('flush', 0, () => this.backend.flush());
  }

  /** False after an error that is ignored. */
  private async perform(kind: AccountedKind, bytes: number, act: () => Promise<void>): Promise<boolean> {
    const { statistics } = this.backend;
    const { runState } = this.machine;
    for (;;) {
      if (!runState.isRunning || this.isClosed) await this.whenRunning();
      const account = statistics.start(kind, bytes);
      try {
        await act();
        statistics.done(account);
        return true;
      } catch (error) {
        const failure = asBlockError(error);
        const action = this.handleError(kind === 'read' ? 'read' : 'write', failure);
        if (action !== 'stop') statistics.failed(account);
        if (action === 'report') throw failure;
        if (action === 'ignore') return false;
        await this.machine.stop('io-error');
      }
    }
  }

  private async whenRunning(): Promise<void> {
    await Promise.race([this.machine.runState.whenRunning(), this.gone.promise]);
    if (this.isClosed) throw new BlockError('ENODEV');
  }

  private handleError(operation: 'read' | 'write', error: BlockError): 'report' | 'ignore' | 'stop' {
    const { backend } = this;
    const { errno } = error;
    const action = errorAction(backend.errorPolicies[operation], errno);
    const nospace = errno === 'ENOSPC';
    backend.failure = { operation, action, error };
    if (action === 'stop') backend.ioStatus = nospace ? 'nospace' : 'failed';
    this.machine.emit({
      name: 'BLOCK_IO_ERROR',
      data: {
        'qom-path': backend.device?.path ?? '',
        device: backend.name,
        ...(backend.hasMedium ? { 'node-name': backend.node.name } : {}),
        operation,
        action,
        ...(this.hasIoStatus ? { nospace } : {}),
        reason: strerror(errno),
      },
    });
    return action;
  }
}

async function claim(machine: Machine, { drive, ownerType }: FrontOptions): Promise<BlockBackend> {
  const { graph } = machine;
  if (drive !== '') {
    const named = graph.backends.find(drive);
    if (named) {
      if (named.device) throw inUse(machine, named);
      return named;
    }
  }
  const node = drive === '' ? undefined : graph.findNode(drive);
  if (drive !== '' && !node) throw invalid(`Property '${ownerType}.drive' can't find value '${drive}'`);
  const backend = BlockBackend.create(graph, { name: '', perm: Perm.none, shared: Perm.all });
  if (!node) return backend;
  try {
    await backend.insert(node);
  } catch (error) {
    await backend.delete();
    throw error;
  }
  return backend;
}

function inUse(machine: Machine, backend: BlockBackend): BlockError {
  const isAutomatic = machine.drives.of(backend)?.isAutomatic ?? false;
  return invalid(
    isAutomatic
      ? `Drive '${backend.name}' is already in use because it has been automatically connected to another device (did you need 'if=none' in the drive options?)`
      : `Drive '${backend.name}' is already in use by another device`,
  );
}
