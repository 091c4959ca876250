/** trace-event-set-state: from now on the events that fit are watched, or no longer (specification: cli, section 7). */
import { bool, optional, str, struct } from '../../qapi/types.ts';
import { tracer } from '../../trace/events.ts';
import { defineCommand } from '../command.ts';
import { findEvents } from './trace-event-get-state.ts';

export const traceEventSetState = defineCommand({
  name: 'trace-event-set-state',
  args: struct('TraceEventSetStateArguments', {
    name: str,
    enable: bool,
    'ignore-unavailable': optional(bool),
  }),
  run(_, { name, enable }) {
    findEvents(name);
    tracer.select(name, enable);
    return {};
  },
});
