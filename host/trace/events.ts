/**
 * Every event that can be watched, one line each: its name, and its arguments in the order in which they are told.
 *
 * The tracer and these events are the one state that a whole thread shares: a program asks for events by name before there is
 * any disk, and a call site deep in a driver has nothing in hand to ask. Nothing but what is watched depends on it.
 *
 * An event that takes time is told when it is over, with `result` (`ok`, or an errno) and `us`: what a request led to
 * stands before it. Names are ours but for `job_state_transition`, which says the same as QEMU's.
 */
import { Tracer } from './tracer.ts';

export const tracer = new Tracer();

const over = { result: 'text', us: 'number' } as const;
/** `flags` in words; `none` when there are none. */
const request = { node: 'text', offset: 'number', bytes: 'number', flags: 'text', ...over } as const;
const connection = { server: 'text', client: 'text' } as const;

export const events = tracer.define({
  // Requests to a node, whoever made them: users, and the nodes above (block/request.ts).
  block_read: request,
  block_write: request,
  block_write_compressed: request,
  block_write_zeroes: request,
  block_discard: request,
  /** The end is `offset`. */
  block_truncate: request,
  block_flush: { node: 'text', ...over },
  /** Writes out what is in memory, without waiting for the device. */
  block_write_out: { node: 'text', ...over },
  /** `extent` bytes from `offset` on are alike, and are what `status` says. */
  block_status: { ...request, extent: 'number', status: 'text' },

  /** No new requests to the node from above. */
  block_drain_begin: { node: 'text' },
  block_drain_end: { node: 'text' },
  block_permission_refused: { node: 'text', message: 'text' },

  /** The core needs a table of the image to go on, and does not have it. */
  core_need: { node: 'text', offset: 'number', bytes: 'number' },
  /** A request waits for another that allocates the same cluster. */
  core_busy: { node: 'text', token: 'number' },

  /** One changed piece of a table was written back: `l2`, `block` (of refcounts), `l1` or `refcountTable`. */
  qcow2_write_back: { node: 'text', table: 'text', offset: 'number', bytes: 'number', ...over },
  /** What was written back before is durable, and only then what depends on it is written. */
  qcow2_barrier: { node: 'text', ...over },

  throttle_wait: { group: 'text', direction: 'text', bytes: 'number', us: 'number' },

  job_state_transition: { job: 'text', from: 'text', to: 'text' },
  /** A piece of a disk has been moved to `node`, or was left out as what `content` says: `data`, `zero`, `unspecified`. */
  copy_piece: { node: 'text', offset: 'number', bytes: 'number', content: 'text', ...over },

  connection_open: connection,
  connection_close: connection,
});
