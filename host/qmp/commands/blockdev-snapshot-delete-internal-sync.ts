/** blockdev-snapshot-delete-internal-sync: removes one snapshot from the image of a disk, and tells what it was. */
import { BlockError, invalid } from '../../base/errors.ts';
import { describeSnapshot, findSnapshot, snapshotNode } from '../../block/snapshots.ts';
import { optional, str, struct } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';
import { getRootNode } from '../root-node.ts';
import { snapshotInfoType } from '../snapshot-info.ts';

export const blockdevSnapshotDeleteInternalSync = defineCommand({
  name: 'blockdev-snapshot-delete-internal-sync',
  args: struct('BlockdevSnapshotDeleteInternal', { device: str, id: optional(str), name: optional(str) }),
  returns: snapshotInfoType,
  async run({ graph }, { device, id, name }) {
    const node = getRootNode(graph, device);
    if (id === undefined && name === undefined) throw invalid('Name or id must be provided');
    node.opBlockers.check('internal-snapshot-delete');
    const storage = snapshotNode(node)?.driver.snapshots;
    if (!storage) throw new BlockError('ENOTSUP').within('Failed to get a snapshot list');
    const snapshot = findSnapshot(storage, { id, name });
    if (!snapshot) {
      throw invalid(
        `Snapshot with id '${id ?? null}' and name '${name ?? null}' does not exist on device '${device}'`,
      );
    }
    if (node.readOnly) throw invalid(`Device '${device}' is read only`);
    await node.drainBegin();
    try {
      await storage.delete(snapshot);
    } finally {
      node.drainEnd();
    }
    return describeSnapshot(snapshot);
  },
});
