/**
 * Which events are watched, and by whom.
 *
 * A client selects events by name or pattern; sinks get what happens. An event is enabled while it is selected and there
 * is a sink, so that call sites test nothing else. When the last sink goes, nothing is selected any more.
 */
import { invalid } from '../base/errors.ts';
import type { Clock } from '../platform/platform.ts';
import { TraceEvent, type TraceRecord } from './event.ts';

/** Gets every event that is enabled, at once. It must not throw, and must not make requests. */
type TraceSink = (record: TraceRecord) => void;

export class Tracer {
  private readonly events: TraceEvent[] = [];
  private readonly sinks = new Set<TraceSink>();
  /** Of the sink that came last. There is one whenever an event is enabled. */
  private clock: Clock | undefined;

  /** Declares an event: see event.ts for what a format says. Names are declared once. */
  define<const F extends string>(name: string, format: F): TraceEvent<F> {
    const made = new TraceEvent(name, format, (event, args, line) => {
      const time = this.clock?.wallClock() ?? { seconds: 0, microseconds: 0 };
      for (const sink of this.sinks) sink({ event, args, time, line });
    });
    this.events.push(made as unknown as TraceEvent);
    return made;
  }

  /** Those whose name fits, in the order of their declaration: `*` stands for any characters, `?` for one. */
  find(pattern: string): readonly TraceEvent[] {
    return this.events.filter(({ name }) => matches(pattern, name));
  }

  /** From now on the events that fit are watched, or no longer. False: it has no star, and there is no such event. */
  select(pattern: string, wanted: boolean): boolean {
    const found = this.find(pattern);
    for (const event of found) event.selected = wanted;
    this.update();
    return found.length > 0 || mayFitNothing(pattern);
  }

  /**
   * `sink` gets what happens, by the time of `clock`, until the returned function is called. `patterns` are selected. Errors:
   * BlockError, a name of no event.
   */
  attach(sink: TraceSink, clock: Clock, patterns: readonly string[] = []): () => void {
    for (const pattern of patterns) {
      if (this.find(pattern).length > 0 || mayFitNothing(pattern)) continue;
      throw invalid(`trace event '${pattern}' does not exist`);
    }
    for (const pattern of patterns) this.select(pattern, true);
    // The same function may be attached twice.
    const own: TraceSink = (record) => sink(record);
    this.sinks.add(own);
    this.clock = clock;
    this.update();
    return () => {
      if (this.sinks.delete(own) && this.sinks.size === 0)
        for (const event of this.events) event.selected = false;
      this.update();
    };
  }

  /** For measuring what an enabled event tells; 0 while there is no sink. */
  nowNs(): number {
    return this.clock?.nowNs() ?? 0;
  }

  /** Whole microseconds since `startNs`, which `nowNs` gave. */
  usSince(startNs: number): number {
    return Math.round((this.nowNs() - startNs) / 1000);
  }

  private update(): void {
    for (const event of this.events) event.enabled = event.selected && this.sinks.size > 0;
  }
}

/** As QEMU has it: a `?` alone makes no pattern that may. */
const mayFitNothing = (pattern: string): boolean => pattern.includes('*');

/** In time proportional to the product of the lengths, whatever the pattern: clients send it. */
function matches(pattern: string, name: string): boolean {
  let at = 0;
  let star = -1;
  let resume = 0;
  for (let index = 0; index < name.length; ) {
    if (pattern[at] === '*') {
      star = at++;
      resume = index;
    } else if (pattern[at] === '?' || pattern[at] === name[index]) {
      at++;
      index++;
    } else if (star >= 0) {
      // The star takes one character more.
      at = star + 1;
      index = ++resume;
    } else {
      return false;
    }
  }
  while (pattern[at] === '*') at++;
  return at === pattern.length;
}
