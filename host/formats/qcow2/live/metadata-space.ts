/**
 * Room for structures that the host lays out itself: an L1 table that moves, bitmap directories and bitmap tables.
 *
 * What is allocated here is counted once, in memory; the counts are durable with the next write-back, and nothing may
 * refer to the clusters before. A crash in between leaks nothing but what had been written back.
 */
import { FreeReason } from '../../../core/qcow2-abi.ts';
import { refcountBlockEntries } from '../disk/header.ts';
import { padded } from '../disk/image-file.ts';
import type { Qcow2Engine } from './engine.ts';

/** Clusters in a row. */
export interface ClusterRun {
  readonly offset: number;
  readonly clusters: number;
}

/** How many shorter runs are tried before a place behind everything else is taken. */
const maxAttempts = 16;

/** Between 1 and `clusters` clusters in a row. Errors: EFBIG, EIO. */
function allocateSome(engine: Qcow2Engine, clusters: number): Promise<ClusterRun> {
  return engine.run(() => engine.core.allocateClusters(clusters));
}

/** Exactly `clusters` clusters in a row. Errors: EFBIG, EIO. */
export async function allocateRun(engine: Qcow2Engine, clusters: number): Promise<ClusterRun> {
  // What is found is described by one block, which seldom has room for so much: it often describes itself.
  if (clusters >= refcountBlockEntries(engine.header)) return reserveRun(engine, clusters);
  const tooShort: ClusterRun[] = [];
  try {
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      const run = await allocateSome(engine, clusters);
      if (run.clusters === clusters) return run;
      tooShort.push(run);
    }
    return await reserveRun(engine, clusters);
  } finally {
    for (const run of tooShort) await releaseRun(engine, run);
  }
}

/**
 * Writes `bytes` to fresh clusters in a row, which are added to `used`, and zeros behind them up to a multiple of `unit`.
 * Returns the offset, 0 when there is nothing to write. Errors: EFBIG, EIO.
 */
export async function writeRun(
  engine: Qcow2Engine,
  bytes: Uint8Array,
  { used, unit }: { used: ClusterRun[]; unit: number },
): Promise<number> {
  if (bytes.length === 0) return 0;
  const run = await allocateRun(engine, Math.ceil(bytes.length / engine.header.clusterSize));
  used.push(run);
  await engine.file.write(run.offset, padded(bytes, unit));
  return run.offset;
}

/** Clusters in a row with refcount blocks of their own, behind everything that is described by others. */
async function reserveRun(engine: Qcow2Engine, clusters: number): Promise<ClusterRun> {
  const { core } = engine;
  let start: number | undefined;
  while (start === undefined) {
    // Grows the refcount table until there is room for the plan.
    await engine.run(() => core.planRun(clusters));
    await engine.exclusively(async () => {
      // Others may have taken room since; now nobody can.
      const plan = core.planRun(clusters);
      if (typeof plan === 'number') return;
      await engine.writeBlocks(plan.blocks);
      core.runDone();
      start = plan.offset + plan.blocks * engine.header.clusterSize;
    });
  }
  return { offset: start, clusters };
}

/** Gives clusters back to which nothing on disk refers any more. `reason` is a `FreeReason`. */
export async function releaseRun(
  engine: Qcow2Engine,
  { offset, clusters }: ClusterRun,
  reason: number = FreeReason.other,
): Promise<void> {
  await engine.runCode(() => engine.core.releaseClusters(offset, clusters, reason));
}
