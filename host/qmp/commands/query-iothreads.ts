/** query-iothreads: the threads that devices may be given. There are none: everything runs in one. */
import { array, empty, int64, str, struct } from '../../qapi/types.ts';
import { defineMachineCommand } from '../machine-command.ts';

const ioThreadInfo = struct('IOThreadInfo', {
  id: str,
  'thread-id': int64,
  'poll-max-ns': int64,
  'poll-grow': int64,
  'poll-shrink': int64,
  'aio-max-batch': int64,
});

export const queryIothreads = defineMachineCommand({
  name: 'query-iothreads',
  args: empty,
  returns: array(ioThreadInfo),
  run: () => [],
});
