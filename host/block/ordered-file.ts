/**
 * Files that are written once, from their beginning to their end, and images in them: what there is where nothing can be changed once it
 * is written, as in an object store.
 *
 * An image that is written so says beforehand how long its file may become, and how much of its beginning it knows only at the end. It
 * gets its data in the order of the disk; what is not written reads as zeros.
 */
import type { Codecs } from '../platform/platform.ts';

export interface FileBounds {
  /** The file does not become longer. */
  readonly maxBytes: number;
  /** Of its beginning, these come last; 0: nothing does. */
  readonly headBytes: number;
}

export interface OrderedFile {
  /** One after the other: when it has settled, `bytes` are the caller's again. Errors: of I/O, also of what was appended before. */
  append(bytes: Uint8Array): Promise<void>;
  /** The file is there, whole and durable, when this settles. `head` is in the place of what was appended there. */
  finish(head?: Uint8Array): Promise<void>;
  /** Nothing of it remains, and what had its name has it still. May come at any time; does not fail. */
  abort(): Promise<void>;
}

export interface OrderedImage {
  /** Bytes of the unit in which data are left out best; 0: there is none. */
  readonly clusterBytes: number;
  /** Offsets ascend. One after the other. */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  /**
   * One cluster, the last may be short, in turn with the others; several may be under way, if they were handed over in their order. Absent:
   * there is no compression.
   */
  writeCompressed?(offset: number, bytes: Uint8Array): Promise<void>;
  /** Nothing more comes: the file is there when this settles. */
  finish(): Promise<void>;
}

/** An image that is to be made. */
export interface OrderedPlan {
  readonly bounds: FileBounds;
  begin(file: OrderedFile, codecs: Codecs): OrderedImage;
}
