/** Why the next backup cannot be the difference to the last one, in words for whoever wants to make it. */
import type { MachineState, Unrelated } from './machine-state.ts';

const words: Readonly<Record<Unrelated, string>> = {
  restored:
    'The disks were put back to a backup, and nothing tells what has changed since the last one: make a full one first.',
  loaded:
    'The disks went back with a saved machine, and nothing tells what has changed since the last backup: make a full one first.',
  deleted: 'The backup was deleted that it would be the difference to: make a full one first.',
  interrupted:
    'The last backup was interrupted, and with it the record of what has changed: make a full one first.',
  failed: 'Nothing tells reliably what has changed since the last backup: make a full one first.',
  fresh: 'The disks were started afresh after the last backup: make a full one first.',
};

/** Undefined: it can. */
export function incrementalRefusal({
  backups,
  unrelated,
  unrelatedBecause = 'failed',
}: Pick<MachineState, 'backups' | 'unrelated' | 'unrelatedBecause'>): string | undefined {
  const last = backups.at(-1);
  if (!last) return 'There is no backup yet that it could be the difference to.';
  return last.number > unrelated ? undefined : words[unrelatedBecause];
}
