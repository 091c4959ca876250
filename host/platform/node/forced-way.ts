/**
 * BLOCKYARD_AIO: the way that files are read and written by which do not say one themselves (`aio`), and then nothing is read or
 * written in place. `io_uring` is `threads` where the kernel has none for us. It is for tests of either way, and for who has doubts
 * about one.
 */
import { BlockError } from '../../base/errors.ts';

const ways = ['threads', 'io_uring'] as const;

type Way = (typeof ways)[number];

/** Undefined: each request goes by what is best for it. Errors: EINVAL, another word than those. */
export function forcedWay(): Way | undefined {
  const given = process.env['BLOCKYARD_AIO'] ?? '';
  if (given === '') return undefined;
  const way = ways.find((known) => known === given);
  if (way === undefined)
    throw new BlockError('EINVAL', `BLOCKYARD_AIO is ${ways.join(' or ')}, and not '${given}'`);
  return way;
}
