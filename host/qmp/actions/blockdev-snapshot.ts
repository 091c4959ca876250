/** blockdev-snapshot: a node that was added for it becomes the overlay (specification: transactions, section 3). */
import type { BlockNode } from '../../block/node.ts';
import { str, struct, type TypeOf } from '../../qapi/types.ts';
import { type ActionContext, defineAction } from './action.ts';
import { ExternalSnapshotAction } from './external-snapshot.ts';

const blockdevSnapshotData = struct('BlockdevSnapshot', { node: str, overlay: str });

class BlockdevSnapshotAction extends ExternalSnapshotAction {
  constructor(
    context: ActionContext,
    private readonly data: TypeOf<typeof blockdevSnapshotData>,
  ) {
    super(context, data.node, data.node);
  }

  protected async openOverlay(): Promise<BlockNode> {
    const { overlay } = this.data;
    const node = this.context.graph.lookup(overlay, overlay);
    node.ref();
    return node;
  }
}

export const blockdevSnapshot = defineAction({
  type: 'blockdev-snapshot',
  data: blockdevSnapshotData,
  supportsGrouped: false,
  create: (context, data) => new BlockdevSnapshotAction(context, data),
});
