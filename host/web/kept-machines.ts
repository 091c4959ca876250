/**
 * What this browser keeps of machines, whether one runs or not: which there are, how large, and what belongs to none. All of it is
 * read from the files themselves; nothing is opened that a machine may have open.
 */
import { heldMachines } from './machine-lock.ts';
import {
  forgetChanges,
  imagesOf,
  type KeptPlan,
  type MachineState,
  machineOf,
  readState,
  renameDisks,
  saveState,
  stateFile,
} from './machine-state.ts';
import { listFiles, removeFiles, withSideFiles } from './own-files.ts';

export interface KeptMachine {
  readonly name: string;
  /** Absent for one that an earlier version has started. */
  readonly plan: KeptPlan | undefined;
  readonly backups: number;
  /** Sizes in bytes; machines that were saved are in the disks. */
  readonly diskBytes: number;
  readonly backupBytes: number;
  /** Some tab has it. */
  readonly isOpen: boolean;
}

export interface Kept {
  readonly machines: readonly KeptMachine[];
  /** Images that belong to no machine: overlays that earlier versions left when a backup was restored, parts of backups. */
  readonly leftovers: { readonly paths: readonly string[]; readonly bytes: number };
  /** Of all that this site keeps, and what the browser grants it. */
  readonly usage: number;
  readonly quota: number;
}

/** Errors: BlockError or DOMException: the browser keeps nothing for this page. */
export async function listKept(): Promise<Kept> {
  // The first of them says in words where a page has no storage.
  const files = await listFiles();
  const held = await heldMachines();
  const { usage = 0, quota = 0 } = await navigator.storage.estimate();
  const bytesOf = (paths: readonly string[]): number =>
    paths.reduce((total, path) => total + (files.get(path) ?? 0), 0);
  const owned = new Set<string>();
  const machines: KeptMachine[] = [];
  for (const name of [...files.keys()].flatMap((file) => machineOf(file) ?? []).sort()) {
    const state = await readState(name);
    if (!state) continue;
    const images = imagesOf(state);
    const backups = [...images.backups, ...images.unfinished];
    // A machine that runs makes files before it says so: they are its own by their names.
    const own = held.has(name) ? [...files.keys()].filter((file) => file.startsWith(`${name}-`)) : [];
    for (const file of [...images.disks, ...backups, ...own].flatMap(withSideFiles)) owned.add(file);
    machines.push({
      name,
      plan: state.plan,
      backups: state.backups.length,
      diskBytes: bytesOf(images.disks),
      backupBytes: bytesOf(backups),
      isOpen: held.has(name),
    });
  }
  const paths = [...files.keys()].filter((file) => file.endsWith('.qcow2') && !owned.has(file));
  return { machines, leftovers: { paths, bytes: bytesOf(paths) }, usage, quota };
}

/** Its disks go, and with them the machines that they hold: it starts from its image again. Backups stay. Errors: it is open. */
export async function startAfresh(name: string): Promise<void> {
  const state = await stateOfClosed(name);
  const { disks } = imagesOf(state);
  renameDisks(name, state);
  state.base = undefined;
  forgetChanges(state, 'fresh');
  // First what is so from now on: what is left of the old ones when this is interrupted belongs to nobody.
  await saveState(name, state);
  await removeFiles(disks);
}

/** Nothing of it is left. Errors: it is open. */
export async function deleteMachine(name: string): Promise<void> {
  const images = imagesOf(await stateOfClosed(name));
  await removeFiles([...Object.values(images).flat(), stateFile(name)]);
}

async function stateOfClosed(name: string): Promise<MachineState> {
  if ((await heldMachines()).has(name))
    throw new Error(`“${name}” is open in a tab: power it off there first.`);
  const state = await readState(name);
  if (!state) throw new Error(`There is no machine “${name}” any more.`);
  return state;
}
