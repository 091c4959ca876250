/**
 * What can be said against a mirror before anything is changed, and what follows from its arguments (specification: jobs,
 * section 8). The order of the checks is QEMU's.
 */
import { invalid } from '../../base/errors.ts';
import { roundUp } from '../../base/sectors.ts';
import { bitmapsOf } from '../../bitmaps/node-bitmaps.ts';
import type { BlockGraph } from '../../block/graph.ts';
import type { BlockNode } from '../../block/node.ts';
import { blockJobParams } from '../block-job.ts';
import type { Job } from '../job.ts';
import type { JobRegistry } from '../job-registry.ts';
import { defaultBufferBytes, startMirror } from './mirror.ts';
import type { MirrorCommon } from './mirror-options.ts';
import { mayReplace, type TargetBacking } from './pivot.ts';

const minGranularity = 512;
const maxGranularity = 64 << 20;

export interface MirrorRequest {
  source: BlockNode;
  target: BlockNode;
  options: MirrorCommon;
  zeroTarget: boolean;
  unmap: boolean;
  targetBacking: TargetBacking;
  filterNodeName: string | undefined;
}

/** Checks, creates and starts. Errors: BlockError; nothing is left behind. */
export function mirror(graph: BlockGraph, jobs: JobRegistry, request: MirrorRequest): Promise<Job> {
  const { source, target, options, zeroTarget, unmap, targetBacking, filterNodeName } = request;
  const { granularity: asked = 0 } = options;
  checkGranularity(asked);
  source.opBlockers.check('mirror-source');
  target.opBlockers.check('mirror-target');
  const backing = source.skipFilters().backing();
  const sync = options.sync === 'top' && !backing ? 'full' : options.sync;
  const replaces = replacedName(graph, source, options.replaces);
  if (sync === 'incremental' || sync === 'bitmap') throw invalid(`Sync mode '${sync}' not supported`);
  const granularity = asked || bitmapsOf(target).defaultGranularity();
  const bufferBytes = bufferSize(options['buf-size'], granularity);
  if (source.skipFilters() === target.skipFilters()) throw invalid("Can't mirror node into itself");
  return startMirror(graph, jobs, {
    ...blockJobParams(options),
    type: 'mirror',
    source,
    target,
    sync,
    base: sync === 'top' ? backing : undefined,
    zeroTarget: zeroTarget && sync === 'full',
    unmap,
    granularity,
    bufferBytes,
    writeBlocking: options['copy-mode'] === 'write-blocking',
    onSourceError: options['on-source-error'] ?? 'report',
    onTargetError: options['on-target-error'] ?? 'report',
    replaces,
    targetBacking,
    filterNodeName,
  });
}

/** 0: the default. */
function checkGranularity(granularity: number): void {
  if (granularity === 0) return;
  if (granularity < minGranularity || granularity > maxGranularity) {
    throw invalid("Parameter 'granularity' expects a value in range [512B, 64MB]");
  }
  if (!Number.isInteger(Math.log2(granularity))) {
    throw invalid("Parameter 'granularity' expects a power of 2");
  }
}

/** Whose place the target takes in the end; filters that nobody asked for stay above. */
function replacedName(graph: BlockGraph, source: BlockNode, given: string | undefined): string | undefined {
  if (given === undefined) {
    const explicit = source.skipImplicit();
    return explicit === source ? undefined : explicit.name;
  }
  const replaced = graph.findNode(given);
  if (!replaced) throw invalid(`Failed to find node with node-name='${given}'`);
  replaced.opBlockers.check('replace');
  if (!mayReplace(source, replaced)) {
    throw invalid(
      `Cannot replace '${given}' by a node mirrored from '${source.name}', because it cannot be guaranteed that ` +
        'doing so would not lead to an abrupt change of visible data',
    );
  }
  if (replaced.length !== source.length) {
    throw invalid('cannot replace image with a mirror image of different size');
  }
  return given;
}

/** Whole granules. */
function bufferSize(given: number | undefined, granularity: number): number {
  if (given !== undefined && given < 0) throw invalid("Invalid parameter 'buf-size'");
  return roundUp(given || defaultBufferBytes, granularity);
}
