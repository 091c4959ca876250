/**
 * What the page can do with a machine, whatever makes it so: start one, copy its disks, go back to a copy. The page draws; it
 * asks this and the monitor, and knows nothing of workers, files or emulators.
 */
import type { Monitor } from './answers.ts';

/** Where an image is that disks start from. It is never written. */
export type ImageSource =
  | { readonly type: 'url'; readonly url: string }
  | { readonly type: 'file'; readonly file: File };

export interface MachinePlan {
  /** Under which its disks are kept in this browser. */
  readonly name: string;
  /** `embedded`: the guest that travels with the page, and both disks start from the image, or empty. */
  readonly boot: 'embedded' | 'disk';
  readonly image: ImageSource | undefined;
  readonly memoryMiB: number;
}

/** A copy of all disks at one instant, as it is kept. */
export interface Backup {
  readonly number: number;
  readonly madeAt: string;
  readonly kind: 'full' | 'incremental';
  /** Files of it, one for each disk. */
  readonly files: readonly { readonly disk: string; readonly path: string }[];
}

export interface Session {
  readonly plan: MachinePlan;
  readonly monitor: Monitor;
  readonly backups: readonly Backup[];
  /** Whether there is a backup that the next one can be the difference to. */
  readonly canIncrement: boolean;
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
  /** A snapshot inside each disk, of the same instant. */
  snapshot(name: string): Promise<void>;
  /** The machine begins anew on disks that start from the backup; the present ones are kept beside. */
  restore(backup: Backup): Promise<void>;
  deleteBackup(backup: Backup): Promise<void>;
  /** What a disk of a backup holds, as an image that stands alone. */
  download(backup: Backup, disk: string): Promise<void>;
}
