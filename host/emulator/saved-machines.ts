/**
 * Machines that are kept in their own disks: an internal snapshot of every writable disk under one name, and in that of
 * the first the state of memory and devices, where QEMU keeps its own too (`savevm`).
 *
 * A name stands for one moment: what is on the disks and what is in memory go together, and going back brings both. The
 * first disk is the first that is writable, in the order of the drives. A failure on the way to saving leaves nothing of the
 * name; a failure on the way back leaves the machine standing, for memory and disks may not go together.
 */
import { BlockError, invalid } from '../base/errors.ts';
import type { BlockNode } from '../block/node.ts';
import type { InternalSnapshot, NewSnapshot, SnapshotStorage } from '../block/snapshot-storage.ts';
import { applySnapshot, findSnapshot, snapshotNameOf, snapshotNode } from '../block/snapshots.ts';
import type { Machine } from '../machine/machine.ts';

/** What a processor keeps beside the disks, as long as the machine stands. */
export interface ProcessorState {
  /** Errors: a request of the guest has not been answered, because the machine was stopped by an I/O error. */
  saveState(): Promise<ArrayBuffer>;
  /**
   * Errors: as `saveState`; a disk that is not what it was: then the guest's memory and its disks do not go together, and the
   * machine must not go on.
   */
  restoreState(state: ArrayBuffer): Promise<void>;
  /** From now on the content of the disks that can be written is counted from a snapshot. */
  refer(snapshot: string): Promise<void>;
}

interface Disk {
  readonly name: string;
  readonly node: BlockNode;
  readonly storage: SnapshotStorage;
}

/** The first word of a state of v86. */
const v86Magic = 0x86768676;
const pieceBytes = 4 << 20;

export class SavedMachines {
  constructor(
    private readonly machine: Machine,
    private readonly processor: ProcessorState,
  ) {}

  /** Keeps the machine as it is now in place of one with the same name; it goes on afterwards. Errors: BlockError. */
  async save(name: string): Promise<void> {
    const disks = this.disks('internal-snapshot');
    const tag = snapshotNameOf(name);
    await this.standing(async () => {
      await this.delete(tag);
      await this.processor.refer(tag);
      const state = new Uint8Array(await this.processor.saveState());
      for (const { node } of disks) await node.drainBegin();
      try {
        await createAll(disks, (isFirst) => this.describe(tag, isFirst ? state.length : 0), state);
      } catch (error) {
        throw within(error, `Error while creating snapshot '${tag}'`);
      } finally {
        for (const { node } of disks) node.drainEnd();
      }
    }, 'always');
  }

  /** Goes back to a saved machine; it runs afterwards if it did before. Errors: BlockError. */
  async load(tag: string): Promise<void> {
    const disks = this.disks('internal-snapshot');
    const found = disks.map((disk) => {
      const snapshot = findSnapshot(disk.storage, { name: tag });
      if (!snapshot) throw invalid(`Device '${disk.name}' does not have the requested snapshot '${tag}'`);
      return { ...disk, snapshot };
    });
    const first = found[0]!; // there is a disk, or `disks` has refused
    await this.standing(async () => {
      const state = await loadState(first.storage, first.snapshot, tag);
      for (const { name, node, snapshot } of found) {
        await node.drainBegin();
        try {
          await applySnapshot(node, snapshot);
        } catch (error) {
          throw within(error, `Error while activating snapshot '${tag}' on '${name}'`);
        } finally {
          node.drainEnd();
        }
      }
      await this.processor.refer(tag);
      await this.processor.restoreState(state);
    }, 'when done');
  }

  /** Forgets a saved machine; disks that do not have it are passed over. Errors: BlockError. */
  async delete(tag: string): Promise<void> {
    for (const { name, node, storage } of this.disks('internal-snapshot-delete')) {
      const snapshot = findSnapshot(storage, { name: tag });
      if (!snapshot) continue;
      await node.drainBegin();
      try {
        await storage.delete(snapshot);
      } catch (error) {
        throw within(error, `Error while deleting snapshot '${tag}' on '${name}'`);
      } finally {
        node.drainEnd();
      }
    }
  }

  /** All disks that a guest can write; each must be able to go back. */
  private disks(operation: 'internal-snapshot' | 'internal-snapshot-delete'): Disk[] {
    const disks = this.machine.graph.backends
      .list()
      .filter((backend) => backend.hasMedium && !backend.node.readOnly)
      .map(({ name, node }) => {
        const storage = snapshotNode(node)?.driver.snapshots;
        const shown = name === '' ? node.name : name;
        if (!storage) throw invalid(`Device '${shown}' is writable but does not support snapshots`);
        node.opBlockers.check(operation);
        return { name: shown, node, storage };
      });
    if (disks.length === 0) throw invalid('no block device can store vmstate for snapshot');
    return disks;
  }

  /** Runs `act` while the machine stands. */
  private async standing(act: () => Promise<void>, goesOn: 'always' | 'when done'): Promise<void> {
    const { machine } = this;
    const wasRunning = machine.runState.isRunning;
    if (wasRunning) await machine.stop();
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

/** On all disks or on none; the state goes to the first. */
async function createAll(
  disks: readonly Disk[],
  describe: (isFirst: boolean) => NewSnapshot,
  state: Uint8Array,
): Promise<void> {
  const created: { storage: SnapshotStorage; snapshot: InternalSnapshot }[] = [];
  try {
    for (const [index, { storage }] of disks.entries()) {
      if (index === 0) await saveState(storage, state);
      created.push({ storage, snapshot: await storage.create(describe(index === 0)) });
    }
  } catch (error) {
    for (const { storage, snapshot } of created) await storage.delete(snapshot).catch(() => {});
    throw error;
  }
}

async function saveState(storage: SnapshotStorage, state: Uint8Array): Promise<void> {
  for (let at = 0; at < state.length; at += pieceBytes) {
    await storage.saveVmState(at, state.subarray(at, at + pieceBytes));
  }
}

async function loadState(
  storage: SnapshotStorage,
  snapshot: InternalSnapshot,
  tag: string,
): Promise<ArrayBuffer> {
  const bytes = Number(snapshot.vmStateBytes);
  if (bytes === 0) throw invalid(`This is a disk-only snapshot. Revert to it offline using qemu-img`);
  const state = new Uint8Array(new ArrayBuffer(bytes));
  for (let at = 0; at < bytes; at += pieceBytes) {
    await storage.loadVmState(snapshot, at, state.subarray(at, at + pieceBytes));
  }
  if (bytes < 4 || new DataView(state.buffer).getUint32(0, true) !== v86Magic) {
    throw invalid(`The state of snapshot '${tag}' was not saved by v86`);
  }
  return state.buffer;
}

function within(error: unknown, context: string): unknown {
  return error instanceof BlockError ? error.within(context) : error;
}
