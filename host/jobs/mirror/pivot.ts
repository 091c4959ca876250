/**
 * The end of a mirror that was told to complete: the target takes the place of a node in the graph (specification: jobs,
 * section 8).
 */
import { asBlockError } from '../../base/errors.ts';
import { withoutUndefined } from '../../base/without-undefined.ts';
import { nodesFrom } from '../../block/chain.ts';
import { resolveBackingName } from '../../block/filename.ts';
import type { BlockGraph } from '../../block/graph.ts';
import type { BlockNode } from '../../block/node.ts';
import { Perm } from '../../block/permissions.ts';
import type { InsertedFilter } from '../filter-insertion.ts';
import type { MirrorTop } from './mirror-top.ts';

/**
 * What becomes the target's backing file: it stays as it is, the one that its image names is opened, or it is to be a
 * certain node or none.
 */
export type TargetBacking = 'leave' | 'open' | { readonly node: BlockNode | undefined };

/** Errors: a backing file that cannot be opened, a permission conflict. */
export async function setTargetBacking(
  graph: BlockGraph,
  target: BlockNode,
  mode: TargetBacking,
): Promise<void> {
  const image = target.skipFilters();
  if (mode === 'leave') return;
  if (mode !== 'open') {
    if (image.backing() !== mode.node) await graph.setBacking(image, mode.node);
    return;
  }
  const { backing } = image.driver;
  if (!backing || image.backing()) return;
  let opened: BlockNode;
  try {
    const { direct, noFlush } = image.flags;
    opened = await graph.openFile(resolveBackingName(image, backing.filename), {
      ...withoutUndefined({ format: backing.format }),
      flags: { direct, noFlush, discard: true, readOnly: true },
      namedByImage: true,
    });
  } catch (error) {
    throw asBlockError(error).within('Could not open backing file');
  }
  try {
    await graph.setBacking(image, opened);
  } finally {
    await graph.unref(opened);
  }
}

interface Pivot {
  /** The `mirror_top` node, above `source`. */
  filter: InsertedFilter<MirrorTop>;
  source: BlockNode;
  /** The source, or a node below it that has the same data. */
  replaced: BlockNode;
  target: BlockNode;
}

/**
 * All parents of `replaced` but the filter come to use `target`, and those of the filter what is then below it. Source
 * and target are drained, and the job's own edges are gone. Errors: permission conflicts; nothing has changed then.
 */
export async function pivot(graph: BlockGraph, { filter, source, replaced, target }: Pivot): Promise<void> {
  filter.driver.stop();
  await graph.refreshPermissions(filter.node);
  // A target whose backing file is the source keeps it.
  const below = nodesFrom(target);
  await replaced.drainBegin();
  try {
    await graph.change((change) => {
      for (const edge of [...replaced.parents]) {
        if (edge.parent !== filter.node && !(edge.parentNode && below.has(edge.parentNode))) {
          change.moveEdge(edge, target);
        }
      }
      const successor = replaced === source ? target : source;
      for (const edge of [...filter.node.parents]) change.moveEdge(edge, successor);
    });
  } finally {
    replaced.drainEnd();
  }
}

/**
 * The filter goes without anything in its place. Only then does it need nothing of its child: a write that has waited in
 * it for its turn still goes there.
 */
export function removeMirrorTop(filter: InsertedFilter<MirrorTop>): Promise<void> {
  const { node, driver } = filter;
  return filter.remove(async () => {
    driver.stop();
    await node.graph.refreshPermissions(node);
  });
}

/**
 * Whether `replaced` may give way to a node that has the content of `source`: between them are only filters, which show the
 * same data, and nodes that keep it in several children alike (specification: jobs, section 8).
 */
export function mayReplace(source: BlockNode, replaced: BlockNode): boolean {
  return showsDataOf(source, replaced) && isUnwritten(source, replaced);
}

function showsDataOf(node: BlockNode | undefined, below: BlockNode): boolean {
  if (!node || node === below) return node === below;
  if (!node.definition.isReplicated) return showsDataOf(node.filtered(), below);
  return [...node.children.values()].some((edge) => showsDataOf(edge.node, below));
}

/** Nobody else changes the data between. */
function isUnwritten(source: BlockNode, replaced: BlockNode): boolean {
  if (source === replaced) return true;
  for (const edge of replaced.parents) {
    if (!edge.parentNode && edge.perm & (Perm.write | Perm.resize)) return false;
  }
  return true;
}
