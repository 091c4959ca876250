/**
 * Every event that can be watched, one line each: its name, and what it tells (event.ts says how that is read).
 *
 * The tracer and these events are the one state that a whole thread shares: a program asks for events by name before there is
 * any disk, and a call site deep in a driver has nothing in hand to ask. Nothing but what is watched depends on it.
 *
 * An event that takes time is told when it is over, with `result` (`ok`, or an errno) and `us`: what a request led to
 * stands before it. Names are ours but for `job_state_transition`, which says the same as QEMU's.
 */
import { Tracer } from './tracer.ts';

/** What is watched in this thread, and who is told. */
export const tracer = new Tracer();

// Requests to a node, whoever made them: users, and the nodes above (block/request-trace.ts). Flags are words, or `none`.
const request = 'node %s offset %d bytes %d flags %s result %s us %d';
export const blockRead = tracer.define('block_read', request);
export const blockWrite = tracer.define('block_write', request);
export const blockWriteCompressed = tracer.define('block_write_compressed', request);
/** Copied from another file by the host. */
export const blockCopyRange = tracer.define('block_copy_range', request);
export const blockWriteZeroes = tracer.define('block_write_zeroes', request);
export const blockDiscard = tracer.define('block_discard', request);
/** `offset` is the new end. */
export const blockTruncate = tracer.define('block_truncate', request);

const wholeNode = 'node %s result %s us %d';
export const blockFlush = tracer.define('block_flush', wholeNode);
/** What is in memory goes to the file; the device is not waited for. */
export const blockWriteOut = tracer.define('block_write_out', wholeNode);

/** `extent` bytes from `offset` on are alike, and are what `status` says. */
export const blockStatus = tracer.define('block_status', `${request} extent %d status %s`);

/** From now on nothing new comes to the node from above. */
export const drainBegin = tracer.define('block_drain_begin', 'node %s');
export const drainEnd = tracer.define('block_drain_end', 'node %s');

export const permissionRefused = tracer.define('block_permission_refused', 'node %s message %s');

/** The core needs a table of the image to go on, and does not have it. */
export const coreNeed = tracer.define('core_need', 'node %s offset %d bytes %d');
/** A request waits for another, which allocates the cluster that it is for. */
export const coreBusy = tracer.define('core_busy', 'node %s token %d');

/** A changed piece of a table is written back: `l2`, `block` (of refcounts), `l1` or `refcountTable`. */
export const qcow2WriteBack = tracer.define(
  'qcow2_write_back',
  'node %s table %s offset %d bytes %d result %s us %d',
);
/** What was written back before is durable now, and what depends on it may be written. */
export const qcow2Barrier = tracer.define('qcow2_barrier', wholeNode);

/** A request had to wait for `us` until its group had room. */
export const throttleWait = tracer.define('throttle_wait', 'group %s direction %s bytes %d us %d');

export const jobStateTransition = tracer.define('job_state_transition', 'job %s from %s to %s');

/** A piece of a disk has come to `node` as what `content` says: `data`, `zero`, `unspecified`. */
export const copyPiece = tracer.define('copy_piece', 'node %s offset %d bytes %d content %s result %s us %d');

/** A node has one more connection to its server. */
export const nbdConnect = tracer.define('nbd_connect', 'node %s size %d replies %s');
/** A connection is over that the node has not ended, or that has come to nothing. */
export const nbdLost = tracer.define('nbd_lost', 'node %s message %s');

// What an NBD server and its clients say, message by message (nbd/server/). `client` is the number of the connection.
export const nbdOption = tracer.define('nbd_option', 'client %d option %s bytes %d');
export const nbdOptionReply = tracer.define('nbd_option_reply', 'client %d option %s reply %s bytes %d');
/** As it has come: it may be refused. */
export const nbdRequest = tracer.define(
  'nbd_request',
  'client %d cookie %s command %s flags %d offset %d bytes %d',
);
/** `kind`: `simple`, or the type of a chunk by its number; `bytes`: of what it carries. */
export const nbdReply = tracer.define('nbd_reply', 'client %d cookie %s kind %s error %d bytes %d');

/** `server`: `qmp`, `chardev`, `nbd`, `web`. */
export const connectionOpen = tracer.define('connection_open', 'server %s client %s');
export const connectionClose = tracer.define('connection_close', 'server %s client %s');
