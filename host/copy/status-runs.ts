/**
 * Runs of equal block status. Extents come back shorter than they are, since metadata is looked up piece by piece
 * (block/status.ts): whoever wants to know how far something goes on asks here.
 *
 * Runs cover their range in order, without gaps and without reaching out of it; what counts as the same is for the
 * caller to say. To know where a run ends, the extent behind it has been asked for: an error there comes before the run.
 */

import type { MaybePromise } from '../base/maybe-promise.ts';

interface Sized {
  bytes: number;
}

/** Answers for the start of the range, for `bytes` > 0 of it. Errors: of I/O; they end the walk. */
export type AskStatus<S extends Sized> = (offset: number, bytes: number) => MaybePromise<S>;

/** Whether an extent that begins where the run ends goes on with it. A run says what its first extent says. */
type GoesOn<S extends Sized> = (run: S, next: S) => boolean;

/** All runs in [start, end). */
export async function* statusRuns<S extends Sized>(
  start: number,
  end: number,
  ask: AskStatus<S>,
  goesOn: GoesOn<S>,
): AsyncGenerator<S & { readonly start: number }, void> {
  let extent = start < end ? await ask(start, end - start) : undefined;
  for (let at = start; extent; ) {
    const run = { ...extent };
    extent = await extend(run, at, end, ask, goesOn);
    yield { ...run, start: at };
    at += run.bytes;
  }
}

/** The run at `offset`, at most `bytes` > 0 long. */
export async function firstRun<S extends Sized>(
  offset: number,
  bytes: number,
  ask: AskStatus<S>,
  goesOn: GoesOn<S>,
): Promise<S> {
  const run = { ...(await ask(offset, bytes)) };
  await extend(run, offset, offset + bytes, ask, goesOn);
  return run;
}

/** Lets the run at `start` grow as far as extents go on with it. Returned: the first one before `end` that does not. */
async function extend<S extends Sized>(
  run: S,
  start: number,
  end: number,
  ask: AskStatus<S>,
  goesOn: GoesOn<S>,
): Promise<S | undefined> {
  for (let at = start + run.bytes; at < end; at = start + run.bytes) {
    const next = await ask(at, end - at);
    if (!goesOn(run, next)) return next;
    run.bytes += next.bytes;
  }
  run.bytes = end - start;
  return undefined;
}
