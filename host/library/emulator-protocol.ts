/** What is said of an emulator between the page and the worker that has it beside the block layer. */
import type { FlushPolicy } from '../emulator/local-disk.ts';
import type { ScreenUpdate } from '../emulator/v86/screen/protocol.ts';
import type { DiskOptions } from './yard.ts';

/** v86's options by which it gets drives. */
export const driveNames = ['hda', 'hdb', 'cdrom'] as const;
type DriveName = (typeof driveNames)[number];

/** With which the page asks for an emulator. */
export interface EmulatorStart {
  /** Address of v86's module. */
  readonly module: string;
  /** v86's own. */
  readonly options: Readonly<Record<string, unknown>>;
  /** Those that are disks of the block layer. */
  readonly drives: { readonly [name in DriveName]?: DiskOptions };
  /** Of disks that do not say theirs. */
  readonly flushPolicy: FlushPolicy;
  /** Serves `EmulatorFunctions`. */
  readonly calls: MessagePort;
  /** Takes `EmulatorNews`. */
  readonly news: MessagePort;
  /** Of the page, to show the screen's graphics. Absent: nobody looks at it. */
  readonly canvas?: OffscreenCanvas;
}

export type EmulatorNews =
  /** In their order, of those that are listened to. */
  | { readonly type: 'events'; readonly events: readonly (readonly [name: string, value: unknown])[] }
  | { readonly type: 'screen'; readonly update: ScreenUpdate }
  /** The emulator has thrown: its guest does not go on. */
  | { readonly type: 'failed'; readonly message: string };
