/** Telling of what takes time: how it ended, and how long it took. */
import { BlockError } from '../base/errors.ts';
import type { TraceEvent, Values } from './event.ts';
import { tracer } from './events.ts';

/** What an event tells whose format has them. */
type Outcome = Values<'result %s us %d'>;

/**
 * Gives what `act` gives, and emits `event` when that is over, with what `values` holds then. Where even making `values` and
 * `act` would count, the caller tests first whether the event is enabled.
 */
export function measure<F extends string, T>(
  event: TraceEvent<F>,
  values: Omit<Values<F>, keyof Outcome>,
  act: () => Promise<T>,
): Promise<T> {
  return event.enabled ? watched(event, values, act) : act();
}

async function watched<F extends string, T>(
  event: TraceEvent<F>,
  values: Omit<Values<F>, keyof Outcome>,
  act: () => Promise<T>,
): Promise<T> {
  const startNs = tracer.nowNs();
  let result = 'ok';
  try {
    return await act();
  } catch (error) {
    result = error instanceof BlockError ? error.errno : 'bug';
    throw error;
  } finally {
    const outcome: Outcome = { result, us: tracer.usSince(startNs) };
    if (event.enabled) event.emit({ ...values, ...outcome } as unknown as Values<F>);
  }
}
