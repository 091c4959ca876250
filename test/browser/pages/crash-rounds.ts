/**
 * Rounds of writes to an overlay, each ended by a flush that is acknowledged, such that what must be there after a kill
 * follows from the numbers of the rounds: the block that a round writes holds the number of the round.
 */
import type { BlockBackend } from '../../../host/block/backend.ts';
import { createImage } from '../../../host/block/create.ts';
import type { BlockGraph } from '../../../host/block/graph.ts';
import { Prng } from '../../../host/platform/sim/prng.ts';

const blockBytes = 4096;
const blocks = 4096;
const writesPerRound = 6;

export interface RoundRange {
  /** Verifying: the last round that was acknowledged. Writing: the first one to write. */
  round: number;
}

/** An overlay that nothing was written to, over zeros. */
export async function crashDisk(graph: BlockGraph): Promise<void> {
  const size = blocks * blockBytes;
  await createImage(graph, { filename: 'crash/base.raw', format: 'raw', size, quiet: true });
  await createImage(graph, {
    filename: 'crash/top.qcow2',
    format: 'qcow2',
    size,
    quiet: true,
    backingFile: 'base.raw',
    backingFormat: 'raw',
  });
}

function blocksOf(round: number): number[] {
  const random = new Prng(round);
  return Array.from({ length: writesPerRound }, () => random.below(blocks));
}

/** Goes on until it is killed. */
export async function writeRounds(
  disk: BlockBackend,
  range: RoundRange,
  acknowledge: (round: number) => void,
): Promise<never> {
  for (let { round } = range; ; round++) {
    const content = new Uint8Array(new Uint32Array(blockBytes / 4).fill(round).buffer);
    await Promise.all(blocksOf(round).map((block) => disk.write(block * blockBytes, content)));
    await disk.flush();
    acknowledge(round);
  }
}

export interface Verified {
  /** Blocks that hold neither what the acknowledged rounds left nor what a later one wrote. */
  wrong: string[];
}

export async function verifyRounds(disk: BlockBackend, { round: last }: RoundRange): Promise<Verified> {
  const expected = new Uint32Array(blocks);
  for (let round = 1; round <= last; round++) for (const block of blocksOf(round)) expected[block] = round;
  const wrong: string[] = [];
  const buffer = new Uint8Array(blockBytes);
  for (let block = 0; block < blocks; block++) {
    await disk.read(block * blockBytes, buffer);
    const words = new Uint32Array(buffer.buffer);
    for (const seen of new Set(words)) {
      const isLater = seen > last && blocksOf(seen).includes(block);
      if (seen !== expected[block] && !isLater) wrong.push(`block ${block}: ${seen}, not ${expected[block]}`);
    }
  }
  return { wrong };
}
