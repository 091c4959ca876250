/**
 * What is said on the port of a disk, between the page that has the emulator and the worker that has the block layer.
 *
 * The worker speaks first. Requests are begun in the order in which they are sent, and so a read sees every write that
 * was sent before it. Nothing is answered with an error: a disk of an emulator has none.
 */
import type { DiskReference } from '../emulator/guest-disk.ts';

export type DiskRequest =
  | { readonly type: 'read'; readonly id: number; readonly offset: number; readonly bytes: number }
  /** Of a read that nobody waits for any more: it is answered or not. */
  | { readonly type: 'cancel'; readonly id: number }
  /** `data` has moved to the worker. */
  | { readonly type: 'write'; readonly id: number; readonly offset: number; readonly data: Uint8Array }
  | { readonly type: 'flush'; readonly id: number }
  | { readonly type: 'set-reference'; readonly reference: DiskReference }
  /** The last one; answered when all before it have been. */
  | { readonly type: 'close'; readonly id: number };

export type DiskAnswer =
  /** Once, before anything else. */
  | {
      readonly type: 'ready';
      readonly byteLength: number;
      readonly isReadOnly: boolean;
      readonly reference: DiskReference;
    }
  /** `data`: what was read; it has moved to the page. `byteLength`: the disk has another length than before. */
  | {
      readonly type: 'done';
      readonly id: number;
      readonly data?: Uint8Array;
      readonly byteLength?: number;
    };
