/**
 * Machines that are kept in their own disks (`savevm`, `loadvm`, `delvm` and the jobs that do the same): an internal snapshot of
 * every writable disk under one name, and in that of one of them, the first unless somebody says which, the state of what is no
 * disk, where QEMU keeps its own too.
 *
 * A name stands for one moment: what is on the disks and what is in memory go together, and going back brings both. A failure on
 * the way to saving leaves nothing of the name. Going back begins with whatever can be found out without changing anything; a
 * failure, early or late, leaves the machine standing, as QEMU's does. What the state is: that of the processor where there is
 * one, else that of the devices (device-state.ts).
 */
import { BlockError, invalid } from '../base/errors.ts';
import { bitmapsOf } from '../bitmaps/node-bitmaps.ts';
import type { BlockGraph } from '../block/graph.ts';
import type { BlockNode } from '../block/node.ts';
import type { InternalSnapshot, NewSnapshot, SnapshotStorage } from '../block/snapshot-storage.ts';
import { applySnapshot, findSnapshot, snapshotNameOf, snapshotNode } from '../block/snapshots.ts';
import { maxDeviceStateBytes, readDevices, restoreDevices, saveDevices } from './device-state.ts';
import type { Machine } from './machine.ts';
import type { ProcessorState } from './processor.ts';

/** Which disks, by the names of their nodes; one of them keeps the state. */
interface DiskChoice {
  devices: readonly string[];
  vmstate: string;
}

interface Disk {
  readonly name: string;
  readonly node: BlockNode;
  readonly storage: SnapshotStorage;
}

/** The first word of a state of v86. */
const v86Magic = 0x86768676;
const maxProcessorStateBytes = 2 ** 32;
const pieceBytes = 4 << 20;

export class SavedMachines {
  constructor(
    private readonly machine: Machine,
    /** Hears why a state does not fit the machine; the error says no more than that. */
    private readonly explain: (line: string) => void = () => {},
  ) {}

  /**
   * Keeps the machine as it is now; it goes on afterwards. Without a choice all disks take part, and what has the same name is
   * replaced. Errors: BlockError.
   */
  async save(name: string, choice?: DiskChoice): Promise<void> {
    const processor = this.processorState();
    const disks = this.disks(choice?.devices);
    const tag = snapshotNameOf(name);
    if (choice && disks.some(({ storage }) => findSnapshot(storage, { name: tag }))) {
      throw invalid(`Snapshot '${tag}' already exists in one or more devices`);
    }
    const keeper = stateDisk(disks, choice?.vmstate);
    if (!choice) await this.delete(tag);
    await this.standing('save-vm', 'always', async () => {
      await processor?.refer(tag);
      const state = processor ? new Uint8Array(await processor.saveState()) : saveDevices(this.machine);
      await drained(disks, async () => {
        await saveState(keeper.storage, state);
        await createAll(disks, ({ storage }) =>
          storage.create(this.describe(tag, storage === keeper.storage ? state.length : 0)),
        );
      });
    });
  }

  /** Goes back to a saved machine; it runs afterwards if it did before. Errors: BlockError. */
  async load(tag: string, choice?: DiskChoice): Promise<void> {
    await this.standing('restore-vm', 'when done', async () => {
      const processor = this.processorState();
      const disks = this.disks(choice?.devices);
      const found = disks.map((disk) => ({ ...disk, snapshot: findSnapshot(disk.storage, { name: tag }) }));
      if (!found.every(hasSnapshot)) {
        throw invalid(`Snapshot '${tag}' does not exist in one or more devices`);
      }
      const first = stateDisk(found, choice?.vmstate);
      const restore = await this.stateOf(first, processor);
      for (const { name, node } of found) checkApplicable(name, node, tag);
      await drained(disks, async () => {
        for (const { name, node, snapshot } of found) {
          await applySnapshot(node, snapshot).catch((error: unknown) => {
            throw within(error, couldNotLoad(tag, name));
          });
        }
      });
      await processor?.refer(tag);
      await restore();
      this.machine.runState.virtualClockNs = Number(first.snapshot.vmClockNs);
    });
  }

  /** Forgets a saved machine; disks that do not have it are passed over. Errors: BlockError. */
  async delete(tag: string, devices?: readonly string[]): Promise<void> {
    for (const { name, node, storage } of this.disks(devices)) {
      const snapshot = findSnapshot(storage, { name: tag });
      if (!snapshot) continue;
      await drained([{ node }], () => storage.delete(snapshot)).catch((error: unknown) => {
        throw within(error, `Could not delete snapshot '${tag}' on '${name}'`);
      });
    }
  }

  private processorState(): ProcessorState | undefined {
    const { processor } = this.machine;
    if (processor && !processor.state) throw invalid('The state of this processor cannot be kept');
    return processor?.state;
  }

  /** Those named, or all that a guest can write; each must be able to go back. */
  private disks(names: readonly string[] | undefined): Disk[] {
    return this.chosen(names).map(({ name, node }) => {
      const storage = node.readOnly ? undefined : snapshotNode(node)?.driver.snapshots;
      if (!storage) throw invalid(`Device '${name}' is writable but does not support snapshots`);
      return { name, node, storage };
    });
  }

  private chosen(names: readonly string[] | undefined): { name: string; node: BlockNode }[] {
    const { graph } = this.machine;
    if (!names) return writableDisks(this.machine);
    if (names.length === 0) throw invalid('At least one device is required for snapshot');
    return names.map((name) => {
      const node = graph.findNode(name);
      if (!node) throw invalid(`No block device node '${name}'`);
      return { name: backendNameOf(graph, node) || name, node };
    });
  }

  /** Gives what puts the state of a snapshot into the machine, once its disks have gone back. Errors: it does not fit. */
  private async stateOf(
    { storage, snapshot }: { storage: SnapshotStorage; snapshot: InternalSnapshot },
    processor: ProcessorState | undefined,
  ): Promise<() => Promise<void>> {
    if (snapshot.vmStateBytes === 0n) {
      throw invalid('This is a disk-only snapshot. Revert to it  offline using qemu-img');
    }
    try {
      const state = await loadState(
        storage,
        snapshot,
        processor ? maxProcessorStateBytes : maxDeviceStateBytes,
      );
      if (!processor) {
        const devices = readDevices(this.machine, state);
        return async () => restoreDevices(this.machine, devices);
      }
      if (state.length < 4 || new DataView(state.buffer).getUint32(0, true) !== v86Magic) {
        throw invalid(`The state of snapshot '${snapshot.name}' was not saved by v86`);
      }
      return () => processor.restoreState(state.buffer);
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
      this.explain(error.message);
      throw new BlockError(error.errno, 'Error -22 while loading VM state');
    }
  }

  /** Runs `act` while the machine stands. */
  private async standing(
    state: 'save-vm' | 'restore-vm',
    goesOn: 'always' | 'when done',
    act: () => Promise<void>,
  ): Promise<void> {
    const { machine } = this;
    const wasRunning = machine.runState.isRunning;
    if (wasRunning) await machine.stop(state);
    let done = false;
    try {
      await act();
      done = true;
    } finally {
      if (wasRunning && (done || goesOn === 'always')) await machine.cont();
    }
  }

  private describe(name: string, vmStateBytes: number): NewSnapshot {
    const { graph, runState } = this.machine;
    const { seconds, microseconds } = graph.platform.clock.wallClock();
    return {
      name,
      dateSeconds: seconds,
      dateNanoseconds: microseconds * 1000,
      vmClockNs: BigInt(Math.floor(runState.virtualClockNs)),
      vmStateBytes,
      icount: undefined,
    };
  }
}

/** All that a guest can write, in the order of the drives. */
function writableDisks({ graph }: Machine): { name: string; node: BlockNode }[] {
  return graph.backends
    .list()
    .filter((backend) => backend.hasMedium && !backend.node.readOnly)
    .map(({ name, node }) => ({ name: name || node.name, node }));
}

/** Empty: no drive has this node as its medium. */
function backendNameOf({ backends }: BlockGraph, node: BlockNode): string {
  return backends.list().find((backend) => backend.hasMedium && backend.node === node)?.name ?? '';
}

/** The one that keeps the state. Errors: there is no such disk. */
function stateDisk<T extends Disk>(disks: readonly T[], name: string | undefined): T {
  const found = name === undefined ? disks[0] : disks.find(({ node }) => node.name === name);
  if (found) return found;
  throw invalid(
    name === undefined
      ? 'no block device can store vmstate for snapshot'
      : `vmstate block device '${name}' does not exist`,
  );
}

function hasSnapshot<T extends { snapshot: InternalSnapshot | undefined }>(
  disk: T,
): disk is T & { snapshot: InternalSnapshot } {
  return disk.snapshot !== undefined;
}

/** Before any disk has gone back. Errors: this one could not. */
function checkApplicable(name: string, node: BlockNode, tag: string): void {
  const holder = snapshotNode(node)!; // it has the snapshot
  try {
    node.opBlockers.check('internal-snapshot');
    if ([node, holder].some((one) => bitmapsOf(one).query() !== undefined)) {
      throw new BlockError('EBUSY', 'Device has active dirty bitmaps');
    }
  } catch (error) {
    throw within(error, couldNotLoad(tag, name));
  }
}

const couldNotLoad = (tag: string, name: string): string => `Could not load snapshot '${tag}' on '${name}'`;

/** Runs `act` while no request is in flight on the disks. */
async function drained(disks: readonly Pick<Disk, 'node'>[], act: () => Promise<void>): Promise<void> {
  for (const { node } of disks) await node.drainBegin();
  try {
    await act();
  } finally {
    for (const { node } of disks) node.drainEnd();
  }
}

/** On all disks or on none. */
async function createAll(
  disks: readonly Disk[],
  create: (disk: Disk) => Promise<InternalSnapshot>,
): Promise<void> {
  const created: { storage: SnapshotStorage; snapshot: InternalSnapshot }[] = [];
  for (const disk of disks) {
    const { name, storage } = disk;
    try {
      created.push({ storage, snapshot: await create(disk) });
    } catch (error) {
      for (const done of created) await done.storage.delete(done.snapshot).catch(() => {});
      throw within(error, `Could not create snapshot on '${name}'`);
    }
  }
}

async function saveState(storage: SnapshotStorage, state: Uint8Array): Promise<void> {
  try {
    for (let at = 0; at < state.length; at += pieceBytes) {
      await storage.saveVmState(at, state.subarray(at, at + pieceBytes));
    }
  } catch (error) {
    throw within(error, 'Could not write the VM state');
  }
}

async function loadState(
  storage: SnapshotStorage,
  snapshot: InternalSnapshot,
  maxBytes: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = Number(snapshot.vmStateBytes);
  if (bytes > maxBytes)
    throw invalid(`The VM state has ${bytes} bytes, at most ${maxBytes} are possible here`);
  const state = new Uint8Array(new ArrayBuffer(bytes));
  for (let at = 0; at < bytes; at += pieceBytes) {
    await storage.loadVmState(snapshot, at, state.subarray(at, at + pieceBytes));
  }
  return state;
}

function within(error: unknown, context: string): unknown {
  return error instanceof BlockError ? error.within(context) : error;
}
