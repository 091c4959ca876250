/**
 * What both forms of an external snapshot have in common: the overlay becomes the disk, and what was the disk its backing
 * file (specification: transactions, section 3).
 */
import { BlockError, invalid } from '../../base/errors.ts';
import { nodesFrom } from '../../block/chain.ts';
import type { BlockNode } from '../../block/node.ts';
import { cumulativePermissions, Perm } from '../../block/permissions.ts';
import { loadPart } from '../../platform/platform.ts';
import type { Action, ActionContext } from './action.ts';

export abstract class ExternalSnapshotAction implements Action {
  private old: BlockNode | undefined;
  private overlay: BlockNode | undefined;
  private isAppended = false;

  constructor(
    protected readonly context: ActionContext,
    private readonly device: string | undefined,
    private readonly nodeName: string | undefined,
  ) {}

  nodes(): readonly BlockNode[] {
    const node = this.context.graph.find(this.device, this.nodeName);
    return node ? [node] : [];
  }

  /** The overlay, with a reference that this action owns. */
  protected abstract openOverlay(old: BlockNode): Promise<BlockNode>;

  async prepare(): Promise<void> {
    const { graph } = this.context;
    const old = graph.lookup(this.device, this.nodeName);
    old.opBlockers.check('external-snapshot');
    if (!old.readOnly) await flush(old);
    this.old = old;
    const overlay = await this.openOverlay(old);
    this.overlay = overlay;
    checkOverlay(overlay);
    if (old.flags.inactive) {
      const activity = await loadPart(graph.platform, () => import('../../block/activity.ts'));
      await activity.setActive(graph, overlay, false);
    }
    const below = nodesFrom(overlay);
    await graph.change((change) => {
      change.addChild(overlay, old, 'backing', 'cow');
      for (const edge of [...old.parents]) {
        if (!edge.parentNode || !below.has(edge.parentNode)) change.moveEdge(edge, overlay);
      }
    });
    this.isAppended = true;
  }

  async commit(): Promise<void> {
    const { old, overlay } = this;
    if (!old || !overlay) return;
    try {
      if (!old.definition.writesOnRead) await this.context.graph.setReadOnly(old, true);
    } catch (error) {
      // Others still write to it, and may: only this disk does not any more.
      if (!(error instanceof BlockError)) throw error;
    }
    await this.context.graph.unref(overlay);
  }

  async abort(): Promise<void> {
    const { old, overlay } = this;
    if (!old || !overlay) return;
    const { graph } = this.context;
    if (this.isAppended) {
      await graph.change((change) => {
        for (const edge of [...overlay.parents]) change.moveEdge(edge, old);
        change.removeChild(overlay.children.get('backing')!); // which was appended
      });
    }
    await graph.unref(overlay);
  }
}

async function flush(node: BlockNode): Promise<void> {
  try {
    await node.flush();
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
    throw new BlockError(error.errno, 'An IO error has occurred', { cause: error });
  }
}

function checkOverlay(overlay: BlockNode): void {
  if (cumulativePermissions(overlay).perm & Perm.consistentRead) {
    throw invalid('The overlay is already in use');
  }
  if (overlay.definition.kind === 'filter') throw invalid('Filters cannot be used as overlays');
  if (overlay.backing()) throw invalid('The overlay already has a backing image');
  if (!overlay.definition.supportsBacking) throw invalid('The overlay does not support backing images');
}
