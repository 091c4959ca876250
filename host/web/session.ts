/**
 * What the page can do with a machine, whatever makes it so: start one, copy its disks, go back to a copy. The page draws; it
 * asks this and the monitor, and knows nothing of workers, files or emulators.
 */
import type { Monitor } from './answers.ts';

/** Where an image is that disks start from. It is never written. */
export type ImageSource =
  | { readonly type: 'url'; readonly url: string }
  | { readonly type: 'file'; readonly file: File };

/** What a machine has beside its first disk. */
export interface Media {
  readonly secondDisk?: ImageSource;
  /** Read as far as the machine reads it. */
  readonly cd?: ImageSource;
  /** Read whole, into memory: what the guest writes to it is lost with the machine. */
  readonly floppy?: ImageSource;
  /** Started by itself, with the two below; a bzImage. */
  readonly kernel?: ImageSource;
  readonly initrd?: ImageSource;
  readonly commandLine?: string;
}

export interface MachinePlan {
  /** Under which its disks are kept in this browser. */
  readonly name: string;
  /** `embedded`: the guest that travels with the page, and both disks start from the image, or from its own data. */
  readonly boot: 'embedded' | 'disk';
  readonly image: ImageSource | undefined;
  readonly memoryMiB: number;
  readonly media?: Media;
}

/** What linked records say of copies of both disks. */
export interface Proof {
  /** Found on the first and on the second disk. */
  readonly records: readonly [number, number];
  /** Of one instant; 0: there is none. */
  readonly violations: number;
}

/** A copy of all disks at one instant, as it is kept. What earlier versions did not know of theirs is absent. */
export interface Backup {
  readonly number: number;
  readonly madeAt: string;
  readonly kind: 'full' | 'incremental';
  /** Files of it, one for each disk. */
  readonly files: readonly { readonly disk: string; readonly path: string }[];
  readonly tookMs?: number;
  readonly bytes?: number;
  /** No request of the guest took longer meanwhile; null: one took more than a minute. */
  readonly longestWaitMs?: number | null;
  /** Absent too when what is on the disks are no records. */
  readonly proof?: Proof;
}

/** The backup that the disks have been put back to. */
export interface Restored {
  readonly number: number;
  /** Read from the disks before the machine started. */
  readonly proof: Proof | undefined;
}

export interface Session {
  readonly plan: MachinePlan;
  readonly monitor: Monitor;
  readonly backups: readonly Backup[];
  /** Since the page was loaded. */
  readonly restored: Restored | undefined;
  /** The guest has stopped its processor for good: nothing but a reset goes on from there. */
  readonly isHalted: boolean;
  /** What the machine is busy with that one should not close the page in; undefined: nothing. */
  readonly busyWith: string | undefined;
  /** Why the next backup cannot be the difference to the last one; undefined: it can. */
  readonly whyNotIncremental: string | undefined;
  /** Of backups: bytes per second and disk; 0: no limit. */
  readonly backupSpeed: number;
  /** Holds for a backup that runs, too. */
  setBackupSpeed(bytesPerSecond: number): Promise<void>;
  /** Neither later backups nor the disks build on it. */
  canDelete(backup: Backup): boolean;
  onSerial(listener: (bytes: Uint8Array) => void): void;
  sendSerial(text: string): void;
  /** Whether what is typed in the page goes to the machine's keyboard. At first it does not. */
  setKeyboard(isOn: boolean): void;
  /** Bytes as a keyboard sends them, scan codes of set 1. */
  sendScancodes(codes: readonly number[]): void;
  /** Settles when it is complete. Errors: those of QMP; a backup that fails on one disk leaves nothing of any. */
  backUp(kind: Backup['kind']): Promise<void>;
  /** The machine begins anew on disks that start from the backup; what it ran on is deleted. Its limits are kept. */
  restore(backup: Backup): Promise<void>;
  deleteBackup(backup: Backup): Promise<void>;
  /** What a disk of a backup holds, as an image that stands alone. */
  download(backup: Backup, disk: string): Promise<void>;
  /** Keeps memory, devices and disks inside the disks, in place of what has the same name. */
  saveMachine(name: string): Promise<void>;
  loadMachine(name: string): Promise<void>;
  deleteSaved(name: string): Promise<void>;
  /** The machine ends; what it has written is kept. Nothing else may be asked for any more. */
  powerOff(): Promise<void>;
}
