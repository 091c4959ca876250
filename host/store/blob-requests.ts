/**
 * Blobs out of packs, many at once: those that are neighbours in a pack come in one request.
 *
 * A pack that is gone has been rewritten by a prune: the index is read again, once, and says where its blobs are now. Whatever becomes
 * of one blob makes no difference to the others, and each is verified before anybody has it (blobs.ts).
 */
import { asBlockError, BlockError } from '../base/errors.ts';
import type { BlobPlace } from './blob-index.ts';
import { unsealBlob } from './blobs.ts';
import { toHex } from './ids.ts';
import type { BlobKind } from './pack.ts';
import type { Repository } from './repository.ts';
import type { RepositoryIndex } from './repository-index.ts';

/** Of one request. A blob that is longer is asked for by itself. */
const maxRunBytes = 16 << 20;
/** What may lie between two blobs that are asked for together: less than what another request would cost. */
const maxGapBytes = 128 << 10;

/** Is told of each blob once, by its place in the list. */
interface BlobTaker {
  got(blob: number, plain: Uint8Array): void;
  failed(blob: number, error: unknown): void;
}

interface WantedBlob {
  /** Its place in the list. */
  readonly blob: number;
  readonly id: Uint8Array;
}

type PlacedBlob = WantedBlob & { readonly place: BlobPlace };

/** Of one pack, in the order in which they are there. */
interface BlobRun {
  readonly pack: string;
  readonly blobs: PlacedBlob[];
}

/** Settles when `taker` has been told of all. Errors of each: EIO: it is damaged, or nowhere; of the store. */
export async function readBlobs(
  repository: Repository,
  kind: BlobKind,
  ids: readonly Uint8Array[],
  taker: BlobTaker,
): Promise<void> {
  let wanted: readonly WantedBlob[] = ids.map((id, blob) => ({ blob, id }));
  for (const isLast of [false, true]) {
    let index: RepositoryIndex;
    try {
      index = await repository.index();
    } catch (error) {
      for (const { blob } of wanted) taker.failed(blob, error);
      return;
    }
    const { runs, missing } = runsOf(index, kind, wanted);
    const gone = await Promise.all(runs.map((run) => bring(repository, run, taker)));
    wanted = [...missing, ...gone.flat()];
    if (wanted.length === 0) return;
    if (!isLast) repository.forgetIndex(index);
  }
  for (const { blob, id } of wanted)
    taker.failed(
      blob,
      new BlockError('EIO', `${kind} blob ${toHex(id)} is not in ${repository.store.location} (any more)`),
    );
}

/** `missing`: of which the index knows nothing. */
function runsOf(
  index: RepositoryIndex,
  kind: BlobKind,
  wanted: readonly WantedBlob[],
): { runs: BlobRun[]; missing: WantedBlob[] } {
  const missing: WantedBlob[] = [];
  const byPack = new Map<string, PlacedBlob[]>();
  for (const { blob, id } of wanted) {
    const place = index.find(kind, id);
    const pack = place && index.packName(place.pack);
    if (!place || pack === undefined) {
      missing.push({ blob, id });
      continue;
    }
    const ofPack = byPack.get(pack);
    if (ofPack) ofPack.push({ blob, id, place });
    else byPack.set(pack, [{ blob, id, place }]);
  }
  const runs: BlobRun[] = [];
  for (const [pack, blobs] of byPack) {
    let run: BlobRun | undefined;
    for (const next of blobs.sort((a, b) => a.place.offset - b.place.offset)) {
      if (!run || !belongsTo(run, next.place)) {
        run = { pack, blobs: [] };
        runs.push(run);
      }
      run.blobs.push(next);
    }
  }
  return { runs, missing };
}

function belongsTo(run: BlobRun, { offset, length }: BlobPlace): boolean {
  const { start, end } = boundsOf(run);
  return offset - end <= maxGapBytes && offset + length - start <= maxRunBytes;
}

/** Of a run with at least one blob; none of them ends behind the last. */
function boundsOf({ blobs }: BlobRun): { start: number; end: number } {
  const last = blobs.at(-1)!.place; // one at least
  return { start: blobs[0]!.place.offset, end: last.offset + last.length }; // the same
}

/** Gives those back that have to be looked for elsewhere. */
async function bring(
  { store, sealer, platform }: Repository,
  run: BlobRun,
  taker: BlobTaker,
): Promise<readonly WantedBlob[]> {
  const { start, end } = boundsOf(run);
  const what = `${run.pack} of ${store.location}`;
  let sealed: Uint8Array;
  try {
    sealed = await store.getRange(run.pack, start, end - start);
  } catch (error) {
    if (error instanceof BlockError && error.errno === 'ENOENT') return run.blobs;
    for (const { blob } of run.blobs) taker.failed(blob, asBlockError(error).within(what));
    return [];
  }
  for (const { blob, id, place } of run.blobs) {
    const from = place.offset - start;
    try {
      const part = sealed.subarray(from, from + place.length);
      taker.got(blob, await unsealBlob(sealer, { id, sealed: part, plainLength: place.plainLength }));
    } catch (error) {
      taker.failed(blob, asBlockError(error).within(what));
    }
    // Each took milliseconds.
    if (run.blobs.length > 1) await platform.clock.yield();
  }
  return [];
}
