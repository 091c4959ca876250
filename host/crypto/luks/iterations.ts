/** How often a key is derived over, so that trying a passphrase takes as long as somebody wants it to. */
import { invalid } from '../../base/errors.ts';
import type { Clock, NamedHash } from '../../platform/platform.ts';
import { maxIterations, saltBytes } from './header.ts';

export const defaultIterTimeMs = 2000;
/** However slow the machine, or short the time. */
const minIterations = 1000;
/** As QEMU does: what is tried for every slot need not take as long as the slot. */
const digestPart = 8;
/** Eight slots and the digest are together within what a header may want. */
const maxSlotIterations = maxIterations / 16;
const measuredNs = 20e6;
const firstTrial = 1 << 13;
const lastTrial = 1 << 20;

interface Iterations {
  slot: number;
  digest: number;
}

/** For keys of `keyBytes` bytes. Errors: EINVAL, `iterTimeMs` is more than a header may want. */
export async function measureIterations(
  clock: Clock,
  hash: NamedHash,
  { iterTimeMs, keyBytes }: { iterTimeMs: number; keyBytes: number },
): Promise<Iterations> {
  const wanted = Math.floor((await iterationsPerMs(clock, hash, keyBytes)) * iterTimeMs);
  if (wanted > maxSlotIterations) {
    throw invalid(
      `Parameter 'iter-time' of ${iterTimeMs} ms comes to ${wanted} iterations, more than ${maxSlotIterations}`,
    );
  }
  return {
    slot: Math.max(minIterations, wanted),
    digest: Math.max(minIterations, Math.floor(wanted / digestPart)),
  };
}

/** A clock that does not move while it is measured tells nothing: 0. */
async function iterationsPerMs(clock: Clock, hash: NamedHash, keyBytes: number): Promise<number> {
  for (let trial = firstTrial; trial <= lastTrial; trial *= 2) {
    const start = clock.nowNs();
    await hash.deriveKey(new Uint8Array(saltBytes), new Uint8Array(saltBytes), trial, keyBytes);
    const ns = clock.nowNs() - start;
    if (ns === 0) break;
    if (ns >= measuredNs) return (trial * 1e6) / ns;
  }
  return 0;
}
