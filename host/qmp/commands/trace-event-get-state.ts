/** trace-event-get-state: which of the events that fit are selected (specification: cli, section 7). */
import { invalid } from '../../base/errors.ts';
import { array, bool, enumeration, int, optional, str, struct } from '../../qapi/types.ts';
import type { TraceEvent } from '../../trace/event.ts';
import { tracer } from '../../trace/events.ts';
import { defineCommand } from '../command.ts';

const traceEventInfo = struct('TraceEventInfo', {
  name: str,
  state: enumeration('TraceEventState', ['unavailable', 'disabled', 'enabled']),
  vcpu: bool,
});

export const traceEventGetState = defineCommand({
  name: 'trace-event-get-state',
  args: struct('TraceEventGetStateArguments', { name: str, vcpu: optional(int) }),
  returns: array(traceEventInfo),
  run(_, { name, vcpu }) {
    return findEvents(name, vcpu).map(({ name, selected }) => ({
      name,
      state: selected ? ('enabled' as const) : ('disabled' as const),
      vcpu: false,
    }));
  },
});

/** What does not have a star is a name. Errors: there is none of that name; a processor is named, and none has events. */
export function findEvents(name: string, processor: number | undefined): readonly TraceEvent[] {
  if (processor !== undefined) throw invalid(`invalid vCPU index ${processor >>> 0}`);
  const found = tracer.find(name);
  if (name.includes('*') || found[0]?.name === name) return found;
  throw invalid(`unknown event "${name}"`);
}
