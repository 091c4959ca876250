/** trace-event-get-state: which of the events that fit are selected (specification: cli, section 7). */
import { invalid } from '../../base/errors.ts';
import { array, enumeration, str, struct } from '../../qapi/types.ts';
import type { TraceEvent } from '../../trace/event.ts';
import { tracer } from '../../trace/events.ts';
import { defineCommand } from '../command.ts';

const traceEventInfo = struct('TraceEventInfo', {
  name: str,
  state: enumeration('TraceEventState', ['unavailable', 'disabled', 'enabled']),
});

export const traceEventGetState = defineCommand({
  name: 'trace-event-get-state',
  args: struct('TraceEventGetStateArguments', { name: str }),
  returns: array(traceEventInfo),
  run(_, { name }) {
    return findEvents(name).map(({ name, selected }) => ({
      name,
      state: selected ? ('enabled' as const) : ('disabled' as const),
    }));
  },
});

/** What does not have a star is a name. Errors: there is none of that name. */
export function findEvents(name: string): readonly TraceEvent[] {
  const found = tracer.find(name);
  if (name.includes('*') || found[0]?.name === name) return found;
  throw invalid(`unknown event "${name}"`);
}
