/** What a story is about, drawn from a seed: the disk, what is to be done with it, and how everybody waits, buffers and gives up. */
import type { Seeded } from '../../support/seeded.ts';
import { kib, mib } from '../../support/units.ts';

export interface Plan {
  readonly disk: 'raw' | 'qcow2' | 'overlay';
  readonly work: 'full' | 'top' | 'none' | 'bitmap' | 'mirror' | 'blocking mirror' | 'nothing';
  /** Where the job runs. */
  readonly at: 'daemon' | 'guests';
  readonly target: 'raw' | 'qcow2';
  readonly isTargetRemote: boolean;
  readonly bytesPerSecond: number;
  readonly buffer: object;
  readonly onError: 'report' | 'stop' | 'ignore';
  /** Seconds. */
  readonly reconnectDelay: number;
  readonly connections: number;
  readonly isWritethrough: boolean;
  /** Whether guests are quiet when the job begins. */
  readonly isQuiet: boolean;
  /** Whether somebody reads the job's instant meanwhile, over NBD. */
  readonly isRead: boolean;
  readonly isCancelled: boolean;
}

export function planOf(random: Seeded): Plan {
  const at = random.pick(['daemon', 'daemon', 'guests'] as const);
  const works = ['full', 'full', 'mirror', 'blocking mirror', 'none', 'nothing'] as const;
  const work = random.pick(at === 'daemon' ? ([...works, 'top', 'bitmap'] as const) : works);
  const isBackup = !/mirror|nothing/.test(work);
  return {
    disk: work === 'top' ? 'overlay' : random.pick(['raw', 'raw', 'raw', 'qcow2', 'overlay'] as const),
    work,
    at,
    target: random.pick(['raw', 'raw', 'qcow2'] as const),
    isTargetRemote: random.oneIn(2),
    bytesPerSecond: random.pick([mib / 2, 4 * mib, 1000 * mib]),
    buffer: isBackup ? bufferOf(random) : {},
    onError: random.pick(['report', 'stop', 'ignore'] as const),
    reconnectDelay: random.pick([0, 60, 60]),
    connections: random.pick([1, 1, 2, 4]),
    isWritethrough: random.oneIn(8),
    isQuiet: work === 'top' || random.oneIn(3),
    isRead: at === 'daemon' && (work === 'full' || work === 'none') && random.oneIn(2),
    isCancelled: random.oneIn(8),
  };
}

function bufferOf(random: Seeded): object {
  const policy = random.pick(['wait', 'wait', 'break-snapshot', 'cancel'] as const);
  const buffer = {
    'x-cbw-buffer': random.pick([1, 4 * kib, 20 * kib, 100 * kib, 64 * mib]),
    ...(policy !== 'wait' && { 'x-cbw-policy': policy }),
  };
  if (random.oneIn(2)) return buffer;
  const max = random.pick([0, 4 * kib, 60 * kib, undefined]);
  return {
    ...buffer,
    'x-cbw-spill': random.pick(['auto', '/spill']),
    ...(max !== undefined && { 'x-cbw-spill-max': max }),
  };
}
