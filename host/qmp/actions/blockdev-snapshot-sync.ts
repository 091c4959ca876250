/** blockdev-snapshot-sync: makes the overlay's file and opens it (specification: transactions, section 3). */
import { invalid } from '../../base/errors.ts';
import { withoutUndefined } from '../../base/without-undefined.ts';
import type { BlockNode } from '../../block/node.ts';
import { optional, str, struct, type TypeOf } from '../../qapi/types.ts';
import { createImageLike, newImageMode } from '../new-image.ts';
import { type ActionContext, defineAction } from './action.ts';
import { ExternalSnapshotAction } from './external-snapshot.ts';

const blockdevSnapshotSyncData = struct('BlockdevSnapshotSync', {
  device: optional(str),
  'node-name': optional(str),
  'snapshot-file': str,
  'snapshot-node-name': optional(str),
  format: optional(str),
  mode: optional(newImageMode),
});

class BlockdevSnapshotSyncAction extends ExternalSnapshotAction {
  constructor(
    context: ActionContext,
    private readonly data: TypeOf<typeof blockdevSnapshotSyncData>,
  ) {
    super(context, data.device, data['node-name']);
  }

  protected async openOverlay(old: BlockNode): Promise<BlockNode> {
    const { graph } = this.context;
    const { data } = this;
    const name = data['snapshot-node-name'];
    if (data['node-name'] !== undefined && name === undefined) throw invalid('New overlay node-name missing');
    if (name !== undefined && graph.find(name, name)) throw invalid('New overlay node-name already in use');
    const { 'snapshot-file': filename, format = 'qcow2', mode = 'absolute-paths' } = data;
    if (mode !== 'existing') {
      await createImageLike(graph, { filename, format, source: old, backing: old, unsafe: true });
    }
    const { direct, noFlush, discard, autoReadOnly } = old.flags;
    return graph.openFile(filename, {
      format,
      flags: { direct, noFlush, discard, autoReadOnly, readOnly: false },
      options: withoutUndefined({ 'node-name': name }),
      noBacking: true,
    });
  }
}

export const blockdevSnapshotSync = defineAction({
  type: 'blockdev-snapshot-sync',
  data: blockdevSnapshotSyncData,
  supportsGrouped: false,
  create: (context, data) => new BlockdevSnapshotSyncAction(context, data),
});
