/**
 * What the page remembers of a machine beside its disks: which files they are, and the backups there are of them. It is a
 * file among them, which outlives a killed browser as they do. Later versions add members and read files without them.
 */
import { rootDirectory } from '../platform/browser/paths.ts';
import { writeFile } from './own-files.ts';
import type { Backup, MachinePlan, Media } from './session.ts';

/** Of every machine. */
export const disks = ['a', 'b'] as const;

/** Why no bitmap tells what has changed since the last backup. */
export const unrelatedReasons = ['restored', 'loaded', 'deleted', 'interrupted', 'failed', 'fresh'] as const;
export type Unrelated = (typeof unrelatedReasons)[number];

export interface MachineState {
  /** Of the overlays that the machine runs on, by disk. */
  files: Record<string, string>;
  /** Of the backup that these start from; undefined: from the image. */
  base: number | undefined;
  /** Newest last. */
  backups: Backup[];
  /** Backups up to this number were made of other overlays: no bitmap tells what has changed since. */
  unrelated: number;
  unrelatedBecause?: Unrelated;
  /** Files of a backup that was not complete when it was last heard of. */
  unfinished: string[];
  /** Counts names that were given out. */
  names: number;
  /** Whether disks without an image start from data, as those of the embedded guest do; in earlier versions they were empty. */
  isFilled?: boolean;
  /** Whether a guest can switch it off by its chipset. Not in earlier versions, whose saved machines would not load with that. */
  hasPowerManagement?: boolean;
  /** How it was started last. */
  plan?: KeptPlan;
}

/** A plan without the files of this computer, which no page can open again by itself. */
export interface KeptPlan {
  readonly boot: MachinePlan['boot'];
  readonly memoryMiB: number;
  /** Of the image that it starts from; absent: there is none. */
  readonly image?: KeptSource;
  readonly media?: KeptMedia;
}

export interface KeptSource {
  /** Of a web server's; absent: it is a file of this computer. */
  readonly url?: string;
  readonly name: string;
}

type KeptMedia = Partial<Record<Exclude<keyof Media, 'commandLine'>, KeptSource>> &
  Pick<Media, 'commandLine'>;

const suffix = '.machine.json';
/** Where the state of a machine is, in the browser's storage. */
export const stateFile = (name: string): string => `${name}${suffix}`;

/** The machine that a file in the browser's storage is the state of; undefined: it is another file. */
export function machineOf(file: string): string | undefined {
  return file.endsWith(suffix) ? file.slice(0, -suffix.length) : undefined;
}

/** Undefined: there is no such machine yet. Errors: BlockError: the browser keeps no files for this page; DOMException; SyntaxError: the file is not what was written. */
export async function readState(name: string): Promise<MachineState | undefined> {
  const directory = await rootDirectory();
  try {
    const file = await (await directory.getFileHandle(stateFile(name))).getFile();
    const text = await file.text();
    // Empty: the browser died while it was first written.
    if (text !== '') return JSON.parse(text) as MachineState;
  } catch (error) {
    if (!(error instanceof DOMException && error.name === 'NotFoundError')) throw error;
  }
  return undefined;
}

/** Paths of all its images; disks that have yet to be made are among them. */
export function imagesOf({ files, backups, unfinished }: MachineState) {
  const ofBackups = backups.flatMap((backup) => backup.files.map(({ path }) => path));
  return { disks: Object.values(files), backups: ofBackups, unfinished };
}

/** Of a machine that was never started. */
export function freshState(name: string, isFilled: boolean): MachineState {
  const files = Object.fromEntries(disks.map((disk) => [disk, `${name}-${disk}.qcow2`]));
  return {
    ...{ files, base: undefined, backups: [], unrelated: 0, unfinished: [], names: 0 },
    ...{ isFilled, hasPowerManagement: true },
  };
}

/** Other names for the overlays: the disks begin anew. */
export function renameDisks(name: string, state: MachineState): void {
  state.names++;
  for (const disk of Object.keys(state.files)) state.files[disk] = `${name}-${disk}-${state.names}.qcow2`;
}

/** Nothing tells any more what has changed since the backups there are. */
export function forgetChanges(state: MachineState, because: Unrelated): void {
  state.unrelated = state.backups.at(-1)?.number ?? 0;
  state.unrelatedBecause = because;
}

/** All of it is there afterwards, or what was there before. */
export async function saveState(name: string, state: MachineState): Promise<void> {
  await writeFile(stateFile(name), JSON.stringify(state));
}
