/** trace-event-get-state: which of the events that fit are selected (specification: cli, section 7). */
import { invalid } from '../../base/errors.ts';
import { array, bool, enumeration, int, optional, str, struct } from '../../qapi/types.ts';
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
    checkNoProcessor(vcpu);
    const found = tracer.find(name);
    if (found.length === 0 && !tracer.isPattern(name)) throw unknownEvent(name);
    return found.map(({ name, selected }) => ({
      name,
      state: selected ? 'enabled' : 'disabled',
      vcpu: false,
    }));
  },
});

/** No event is of one processor. */
export function checkNoProcessor(index: number | undefined): void {
  if (index !== undefined) throw invalid(`invalid vCPU index ${index >>> 0}`);
}

export const unknownEvent = (name: string) => invalid(`unknown event "${name}"`);
