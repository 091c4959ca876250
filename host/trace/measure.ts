/** Telling of what takes time: how it ended, and how long it took. */
import { BlockError } from '../base/errors.ts';
import type { Arguments, TraceEvent, Values } from './event.ts';
import { tracer } from './events.ts';

interface Outcome {
  readonly result: 'text';
  readonly us: 'number';
}

/**
 * Gives what `act` gives, and emits `event` when that is over, with what `values` holds then. Where even making `values` and
 * `act` would count, the caller tests first whether the event is enabled.
 */
export function measure<A extends Arguments & Outcome, T>(
  event: TraceEvent<A>,
  values: Omit<Values<A>, keyof Outcome>,
  act: () => Promise<T>,
): Promise<T> {
  return event.enabled ? watched(event, values, act) : act();
}

async function watched<A extends Arguments & Outcome, T>(
  event: TraceEvent<A>,
  values: Omit<Values<A>, keyof Outcome>,
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
    if (event.enabled) event.emit({ ...values, result, us: tracer.usSince(startNs) } as unknown as Values<A>);
  }
}
