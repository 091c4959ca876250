/** query-iothreads: the event loops that devices and nodes may be given to. All of them run in the one thread there is. */
import { EventLoop } from '../../objects/event-loops.ts';
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
  run: ({ graph: { platform } }, _args, { objects }) =>
    objects.entries().flatMap(([id, object]) => {
      if (!(object instanceof EventLoop) || object.typeName !== 'iothread') return [];
      const { tuning } = object;
      return {
        'poll-shrink': tuning['poll-shrink']!, // an iothread has all of them
        'thread-id': platform.threadId ?? 0,
        'aio-max-batch': tuning['aio-max-batch']!,
        'poll-grow': tuning['poll-grow']!,
        'poll-max-ns': tuning['poll-max-ns']!,
        id,
      };
    }),
});
