/**
 * Goes through pieces of a disk with several of them under way: while one is written, the next ones are read. Whatever
 * copies or compares from one end to the other does it by this, on the tools' side: convert, dd, rebase, compare, backup.
 *
 * Memory is the buffers, whatever the size of the disks. Pieces are found in their order, and unless the caller wants it
 * otherwise they are written in it, so that the target grows as if each had been copied by itself; then a failure is told in
 * its turn: everything before it is written, and nothing behind it is begun. In any case nothing is under way any more.
 */
import { Mutex } from '../base/mutex.ts';

interface Stages<P, B> {
  /** The next piece. Undefined: there are no more. Nobody else looks for one meanwhile. */
  next(): Promise<P | undefined>;
  /** Side by side with other pieces. Until `write` has settled the buffer is this piece's. */
  read(piece: P, buffer: B): Promise<void>;
  /** What becomes of what was read. */
  write(piece: P, buffer: B): Promise<void>;
}

/** When a piece is written: when those before it are, when the writing of these has begun, or at once. */
export type WriteOrder = 'finished' | 'begun' | 'none';

/** Rejects with what the first piece that fails rejects with. `buffers`: one for each piece that may be under way, ≥ 1. */
export async function runPipeline<P, B>(
  buffers: readonly B[],
  stages: Stages<P, B>,
  order: WriteOrder = 'finished',
): Promise<void> {
  const pipeline = new Pipeline(stages, order);
  await Promise.all(buffers.map((buffer) => pipeline.work(buffer)));
  if (pipeline.failure) throw pipeline.failure.error;
}

/** Settles when the pieces before have left theirs. */
type Place = Promise<() => void>;

function leave(place: Place): void {
  void place.then((release) => release());
}

class Pipeline<P, B> {
  failure: { readonly error: unknown } | undefined;
  private readonly finding = new Mutex();
  private readonly places = new Mutex();

  constructor(
    private readonly stages: Stages<P, B>,
    private readonly order: WriteOrder,
  ) {}

  /** One piece after the other, each by way of `buffer`. Never rejects. */
  async work(buffer: B): Promise<void> {
    while (!this.failure) {
      const place = this.places.acquire();
      try {
        const piece = await this.finding.run(async () => (this.failure ? undefined : this.stages.next()));
        if (piece === undefined) return;
        await this.move(piece, buffer, place);
      } catch (error) {
        if (this.order !== 'none') await place;
        this.failure ??= { error };
      } finally {
        leave(place);
      }
    }
  }

  private async move(piece: P, buffer: B, place: Place): Promise<void> {
    const { stages, order } = this;
    const reading = stages.read(piece, buffer);
    if (order === 'none') await reading;
    else await Promise.allSettled([reading, place]);
    if (this.failure) return;
    await reading;
    const writing = stages.write(piece, buffer);
    if (order === 'begun') leave(place);
    await writing;
  }
}
