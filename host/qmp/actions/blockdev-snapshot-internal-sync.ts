/** blockdev-snapshot-internal-sync: a snapshot inside the image of a disk (specification: transactions, section 3). */
import { BlockError, invalid } from '../../base/errors.ts';
import type { InternalSnapshot, SnapshotStorage } from '../../block/snapshot-storage.ts';
import { findSnapshot, snapshotNameOf, snapshotNode } from '../../block/snapshots.ts';
import { str, struct, type TypeOf } from '../../qapi/types.ts';
import { getRootNode } from '../root-node.ts';
import { type Action, type ActionContext, defineAction } from './action.ts';

const internalSnapshotData = struct('BlockdevSnapshotInternal', { device: str, name: str });

class InternalSnapshotAction implements Action {
  private created: { storage: SnapshotStorage; snapshot: InternalSnapshot } | undefined;

  constructor(
    private readonly context: ActionContext,
    private readonly data: TypeOf<typeof internalSnapshotData>,
  ) {}

  nodes() {
    const { device } = this.data;
    const node = this.context.graph.find(device, device);
    return node ? [node] : [];
  }

  async prepare(): Promise<void> {
    const { graph, machine } = this.context;
    const { device } = this.data;
    const node = getRootNode(graph, device);
    node.opBlockers.check('internal-snapshot');
    if (node.readOnly) throw invalid(`Device '${device}' is read only`);
    const storage = snapshotNode(node)?.driver.snapshots;
    if (!storage) {
      const format = node.definition.name;
      throw invalid(
        `Block format '${format}' used by device '${device}' does not support internal snapshots`,
      );
    }
    if (this.data.name === '') throw invalid('Name is empty');
    const name = snapshotNameOf(this.data.name);
    // In full: two long names may be cut to the same.
    if (findSnapshot(storage, { name: this.data.name })) {
      throw invalid(`Snapshot with name '${name}' already exists on device '${device}'`);
    }
    const { clock } = graph.platform;
    const { seconds, microseconds } = clock.wallClock();
    try {
      const snapshot = await storage.create({
        name,
        dateSeconds: seconds,
        dateNanoseconds: microseconds * 1000,
        // Without a machine time always passes.
        vmClockNs: BigInt(Math.floor(machine ? machine.runState.virtualClockNs : clock.nowNs())),
        vmStateBytes: 0,
        icount: undefined,
      });
      this.created = { storage, snapshot };
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
      throw error.within(`Failed to create snapshot '${name}' on device '${device}'`);
    }
  }

  async abort(): Promise<void> {
    if (!this.created) return;
    const { storage, snapshot } = this.created;
    try {
      await storage.delete(snapshot);
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
      const { device } = this.data;
      this.context.graph.platform.console.stderr(
        `Failed to delete snapshot with id '${snapshot.id}' and name '${snapshot.name}' on device '${device}' in abort: ${error.message}`,
      );
    }
  }
}

export const blockdevSnapshotInternalSync = defineAction({
  type: 'blockdev-snapshot-internal-sync',
  data: internalSnapshotData,
  supportsGrouped: false,
  create: (context, data) => new InternalSnapshotAction(context, data),
});
