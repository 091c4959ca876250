/**
 * Keeps events that may come in great numbers from flooding clients (specification: qmp-protocol, section 6).
 *
 * The first one goes out at once. Of those that come within the following second only the last is kept, and goes out at
 * its end with the time at which it happened; then the next second begins. Events of different names, and of different
 * values of the key member, do not count together. All others pass.
 */
import type { GraphEvent } from '../block/graph.ts';
import type { Clock, Timer } from '../platform/platform.ts';
import type { EventDefinition } from './events.ts';
import type { Timestamp } from './protocol.ts';

const periodNs = 1e9;

interface Period {
  timer: Timer;
  /** The last event since the period began. */
  kept: { event: GraphEvent; timestamp: Timestamp } | undefined;
}

export class EventLimiter {
  private readonly limits: ReadonlyMap<string, NonNullable<EventDefinition['rateLimit']>>;
  private readonly periods = new Map<string, Period>();

  constructor(
    events: readonly EventDefinition[],
    private readonly clock: Clock,
    private readonly send: (event: GraphEvent, timestamp: Timestamp) => void,
  ) {
    this.limits = new Map(
      events.flatMap(({ name, rateLimit }) => (rateLimit ? [[name, rateLimit] as const] : [])),
    );
  }

  emit(event: GraphEvent): void {
    const timestamp = this.clock.wallClock();
    const limit = this.limits.get(event.name);
    if (!limit) {
      this.send(event, timestamp);
      return;
    }
    const key = limit.key === undefined ? '' : String((event.data as Record<string, unknown>)[limit.key]);
    const which = `${event.name} ${key}`;
    const period = this.periods.get(which);
    if (period) {
      period.kept = { event, timestamp };
      return;
    }
    this.send(event, timestamp);
    this.periods.set(which, { timer: this.begin(which), kept: undefined });
  }

  /** Nothing more goes out. */
  close(): void {
    for (const { timer } of this.periods.values()) timer.cancel();
    this.periods.clear();
  }

  private begin(which: string): Timer {
    return this.clock.setTimer(periodNs, () => this.endPeriod(which));
  }

  private endPeriod(which: string): void {
    const period = this.periods.get(which);
    if (!period?.kept) {
      this.periods.delete(which);
      return;
    }
    const { event, timestamp } = period.kept;
    period.kept = undefined;
    period.timer = this.begin(which);
    this.send(event, timestamp);
  }
}
