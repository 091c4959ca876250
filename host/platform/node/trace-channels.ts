/**
 * Events for programs that watch this process by `node:diagnostics_channel`: what happens is published, while it is
 * selected, on the channel `blockyard:NAME` of the event's name.
 */
import { channel } from 'node:diagnostics_channel';
import type { TraceRecord } from '../../trace/event.ts';

/** A sink of the tracer (trace/tracer.ts). What a subscriber throws is Node's affair. */
export function publishTrace(record: TraceRecord): void {
  channel(`blockyard:${record.event}`).publish(record);
}
