/**
 * drive-mirror: keeps a file in step with a node; the file is made first unless it exists (specification: jobs,
 * section 8).
 */
import { invalid } from '../../base/errors.ts';
import { withoutUndefined } from '../../base/without-undefined.ts';
import type { BlockGraph } from '../../block/graph.ts';
import type { BlockNode } from '../../block/node.ts';
import { startsAsZeros } from '../../block/status.ts';
import { mirrorCommon } from '../../jobs/mirror/mirror-options.ts';
import type { TargetBacking } from '../../jobs/mirror/pivot.ts';
import { loadPart } from '../../platform/platform.ts';
import { bool, extend, optional, str, struct, type TypeOf } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';
import { createImageLike, newImageMode } from '../new-image.ts';
import { getRootNode } from '../root-node.ts';

const driveMirrorData = extend(
  'DriveMirror',
  mirrorCommon,
  struct('DriveMirrorOwn', {
    format: optional(str),
    'node-name': optional(str),
    mode: optional(newImageMode),
    unmap: optional(bool),
  }),
);

type DriveMirror = TypeOf<typeof driveMirrorData>;

export const driveMirror = defineCommand({
  name: 'drive-mirror',
  args: driveMirrorData,
  async run({ graph, jobs }, options) {
    const { mirror } = await loadPart(graph.platform, () => import('../../jobs/copying-jobs.ts'));
    const source = getRootNode(graph, options.device);
    source.opBlockers.check('mirror-source');
    const isNew = options.mode !== 'existing';
    const backing = source.skipFilters().backing();
    const sync = options.sync === 'top' && !backing ? 'full' : options.sync;
    if (options.replaces !== undefined && options['node-name'] === undefined) {
      throw invalid('a node-name must be provided when replacing a named node of the graph');
    }
    // What the target, which holds only a part, is to stand on.
    const below = sync === 'none' ? source : sync === 'full' ? undefined : backing;
    const format = options.format ?? (isNew ? source.definition.name : undefined);
    if (isNew) {
      await createImageLike(graph, { filename: options.target, format, source, backing: below });
    }
    const target = await openTarget(graph, source, options, format);
    try {
      await mirror(graph, jobs, {
        source,
        target,
        options: { ...options, sync },
        zeroTarget: !isNew || !(await startsAsZeros(target)),
        unmap: options.unmap ?? true,
        targetBacking: backingAtEnd(isNew, below),
        filterNodeName: undefined,
      });
    } finally {
      // The job has its own reference.
      await graph.unref(target);
    }
    return {};
  },
});

function backingAtEnd(isNew: boolean, below: BlockNode | undefined): TargetBacking {
  return isNew ? { node: below } : 'open';
}

/** As the source is open, but for writing; what it lacks comes from the source's backing file, not from its own. */
function openTarget(
  graph: BlockGraph,
  source: BlockNode,
  options: DriveMirror,
  format: string | undefined,
): Promise<BlockNode> {
  const { direct, noFlush, autoReadOnly, discard } = source.flags;
  const name = options['node-name'];
  return graph.openFile(options.target, {
    ...withoutUndefined({ format }),
    ...(name === undefined ? {} : { options: { 'node-name': name } }),
    flags: { direct, noFlush, autoReadOnly, discard, readOnly: false },
    noBacking: true,
  });
}
