/**
 * What a driver gets when it is opened, and the options every node shares.
 */
import type { FaultReason } from '../base/errors.ts';
import type { AioMode, Platform } from '../platform/platform.ts';
import type { TlsCredentials, TlsEndpoint } from '../platform/tls.ts';
import type { Driver } from './driver.ts';
import type { ChildRole, Edge } from './edge.ts';

interface Inactivity {
  /** What the options say. */
  readonly readOnly: boolean;
  /** Its parent was opened inactive, and so is what it opens itself. */
  readonly inherited: boolean;
}

/** How a node is open. The common options of BlockdevOptions, resolved (specification: graph, section 2). */
export interface OpenFlags {
  /** Nothing is written: what the options say, or because it is inactive. */
  readOnly: boolean;
  /** Set while somebody else may have the image: activity.ts. */
  inactive: Inactivity | undefined;
  /** Fall back to read-only when the file cannot be opened for writing. */
  autoReadOnly: boolean;
  /** cache.direct */
  direct: boolean;
  /** cache.no-flush */
  noFlush: boolean;
  /** discard=unmap */
  discard: boolean;
  detectZeroes: 'off' | 'on' | 'unmap';
  forceShare: boolean;
  /** What files are asked for that say nothing of `aio` themselves. `native` they have past the page cache alone. */
  aio: AioMode | undefined;
  /** Only metadata will be asked for (`img info`): neither backing nor data files need to be opened. */
  noIo: boolean;
  /** `img check`: open what can be opened, repair nothing by opening. */
  check: boolean;
}

/** Of how a medium is open: what the next one takes over. */
export type MediumFlags = Pick<OpenFlags, 'readOnly' | 'direct' | 'noFlush' | 'detectZeroes' | 'discard'>;

export interface CorruptionReport {
  message: string;
  offset?: number;
  bytes?: number;
  /** The image was marked corrupt and takes no more requests. */
  fatal: boolean;
}

/** Requests of a node fail, and are tried again before anybody is told. */
export interface TroubleReport {
  reason: FaultReason;
  message: string;
}

export interface OpenContext {
  readonly platform: Platform;
  readonly nodeName: string;
  readonly flags: Readonly<OpenFlags>;
  /** With autoReadOnly: tells that the file could only be opened for reading. */
  fallBackToReadOnly(): void;
  /** Opens the child that option `name` describes, or by the file name the node was opened with. */
  openChild(name: string, role: ChildRole): Promise<Edge>;
  /**
   * Opens a file that the image itself says that it is made of, as child `name`: one of the platform's, in the folder of
   * the image or below it, to which the image may write. Errors: EACCES, for any other.
   */
  openNamedFile(name: string, filename: string, role: ChildRole): Promise<Edge>;
  /** The names of the children that the options list under `list`: `list.0`, `list.1`, … */
  childNames(list: string): string[];
  /** Length of the backing child in bytes, 0 without one. It is attached only after the driver is open. */
  backingLength(): number;
  hasBacking(): boolean;
  /** The driver of the image that the backing child is, below filters. It is attached only after the driver is open. */
  backingDriver(): Driver | undefined;
  /** The node's own data, by way of the driver's mappings: for the parts of an operation that only data can express. */
  readonly self: {
    read(offset: number, buffer: Uint8Array): Promise<void>;
    write(offset: number, buffer: Uint8Array): Promise<void>;
    /** Whether block status alone says that the range reads as zeros, backing files included. */
    readsAsZeros(offset: number, bytes: number): Promise<boolean>;
  };
  /** An image says that this, or what it is below, is its backing file. */
  readonly isNamedByImage: boolean;
  /** What a user has made under that id. Throws BlockError: nothing, or something else. */
  secret(id: string): Uint8Array;
  /** The same. */
  credentials(id: string, endpoint: TlsEndpoint): TlsCredentials;
  /** Emits BLOCK_IMAGE_CORRUPTED. */
  reportCorruption(report: CorruptionReport): void;
  /** Emits X_BLOCK_TROUBLE. Undefined: the trouble is over. */
  reportTrouble(trouble: TroubleReport | undefined): void;
  /** Something the person at the terminal should know: `PROG: warning: MESSAGE`. */
  warn(message: string): void;
  /** As `warn`, for what is the same whichever node it is about: told once for a graph. */
  warnOnce(message: string): void;
}
