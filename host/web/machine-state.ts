/** What the page remembers of a machine beside its disks: which files they are, and the backups there are of them. */
import type { Backup } from './session.ts';

export interface MachineState {
  /** Of the overlays that the machine runs on, by disk. */
  files: Record<string, string>;
  /** Of the backup that these start from; undefined: from the image. */
  base: number | undefined;
  /** Newest last. */
  backups: Backup[];
  /** Backups up to this number were made of other overlays: no bitmap tells what has changed since. */
  unrelated: number;
  /** Files of a backup that was not complete when it was last heard of. */
  unfinished: string[];
  /** Counts names that were given out. */
  names: number;
}

const prefix = 'blockyard-machine:';

export function loadState(name: string, disks: readonly string[]): MachineState {
  const kept = localStorage.getItem(prefix + name);
  if (kept !== null) return JSON.parse(kept) as MachineState;
  const files = Object.fromEntries(disks.map((disk) => [disk, `${name}-${disk}.qcow2`]));
  return { files, base: undefined, backups: [], unrelated: 0, unfinished: [], names: 0 };
}

export function saveState(name: string, state: MachineState): void {
  localStorage.setItem(prefix + name, JSON.stringify(state));
}
