/** A guest that does requests of all kinds by chance, repeatably. */
import type { Prng } from '../../host/platform/sim/prng.ts';
import type { Guest } from './crash-harness.ts';
import { sectorBytes } from './disk-model.ts';

/** Requests of all kinds, a few in flight at a time, that do not touch the same cluster. */
export async function randomRun(
  guest: Guest,
  random: Prng,
  { perCluster, resizes }: { perCluster: number; resizes: boolean },
): Promise<void> {
  for (let round = 0; round < 7; round++) {
    const sectors = guest.backend.length / sectorBytes;
    const slices = 1 + random.below(4);
    const slice = Math.floor(sectors / slices / perCluster) * perCluster;
    await Promise.all([
      ...Array.from({ length: slices }, (_, i) => randomRequest(guest, random, i * slice, slice, perCluster)),
      random.below(3) === 0 ? guest.flush() : undefined,
    ]);
    if (random.below(4) === 0) await guest.flush();
    if (resizes && random.below(5) === 0) {
      const now = guest.backend.length / sectorBytes;
      await guest.resize((now >> 1) + random.below(sectors));
    }
  }
}

/** One request within [first, first + count), whole clusters. */
async function randomRequest(
  guest: Guest,
  random: Prng,
  first: number,
  count: number,
  perCluster: number,
): Promise<void> {
  const clusters = count / perCluster;
  if (clusters === 0) return;
  const length = 1 + random.below(Math.min(clusters, 20));
  const start = first + random.below(clusters - length + 1) * perCluster;
  switch (random.below(8)) {
    case 0:
      return guest.discard(start, length * perCluster);
    case 1:
      return guest.writeZeroes(start, length * perCluster, random.below(2) === 0);
    case 2:
      return guest.writeZeroes(start, 1 + random.below(length * perCluster), random.below(2) === 0);
    case 3:
      await guest.discard(start, perCluster);
      return guest.writeCompressed(start, perCluster);
    default: {
      const skip = random.below(perCluster);
      return guest.write(start + skip, 1 + random.below(length * perCluster - skip));
    }
  }
}
