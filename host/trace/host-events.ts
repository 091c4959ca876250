/** Events as those of events.ts, of what no page has: files of an operating system. */
import { tracer } from './events.ts';

/** Requests to a file that take long go by `io_uring` or `threads` from now on; `why` not by `io_uring`. */
export const fileWay = tracer.define('file_way', 'node %s way %s why %s');
