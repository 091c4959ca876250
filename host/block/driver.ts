/**
 * What a driver is: the contract between block/ and formats/, filters/ and protocols/.
 *
 * A driver is one definition (name, kind, options, how to open) in one registry line. An open node holds one `Driver`
 * object. Drivers never call each other: they reach their children through edges, and every request they get has
 * already passed the dispatcher (request.ts), which checked it, tracked it for drain, split and aligned it to `limits`.
 *
 * Formats and filters *map*; they do not move guest data. A read asks `map` where the bytes are and generic code
 * fetches them. A write goes through `prepareWrite`, the data transfer in generic code, and `commit` or `abort`.
 * Protocols, and the few filters that must see the data itself, implement `read` and `write`.
 * A missing operation means: pass through to the one filtered child (filters), or not supported (everything else).
 */
import type { MaybePromise } from '../base/maybe-promise.ts';
import type { Files, Platform } from '../platform/platform.ts';
import type { Checked, StructType } from '../qapi/types.ts';
import type { BlockBackend } from './backend.ts';
import type { BitmapStorage } from './bitmap-storage.ts';
import type { Breakpoints, DebugEvent } from './debug-events.ts';
import type { Edge } from './edge.ts';
import type { BlockGraph } from './graph.ts';
import type { BlockNode } from './node.ts';
import type { OpenContext, OpenFlags } from './open-context.ts';
import type { NodeOptions } from './options.ts';
import type { FileBounds, OrderedFile } from './ordered-file.ts';
import type { SnapshotStorage } from './snapshot-storage.ts';

/** Where a driver keeps bytes of its node: an edge, or one behind which they lie in another form (encrypted-place.ts). */
export interface DataPlace {
  /** The edge, where its bytes are those of the node; undefined where only reading and writing them here tells. */
  readonly plain: Edge | undefined;
  /** These are those of an edge (edge.ts). */
  readonly debugged: Driver | undefined;
  debugEvent(event: DebugEvent): Promise<void> | undefined;
  read(offset: number, buffer: Uint8Array): Promise<void>;
  write(offset: number, buffer: Uint8Array, flags?: WriteFlags): Promise<void>;
}

/** Where a range of a node is. `bytes` > 0 and at most what was asked for. */
export type Extent =
  /** In `child` at `offset`. */
  | { type: 'data'; bytes: number; child: DataPlace; offset: number }
  /** Reads as zeros; `child` and `offset` are there when host space is reserved for it. */
  | { type: 'zero'; bytes: number; child?: Edge; offset?: number }
  /** Not in this node: ask the backing child, or zeros without one. */
  | { type: 'unallocated'; bytes: number }
  /** Only the driver can produce the bytes (compressed): `readSpecial` with this very object. */
  | { type: 'special'; bytes: number }
  /**
   * In this node itself, or in all its children at once; only `read` can tell. `zero`: known to read as zeros. `hole`: whether
   * there is nothing stored for it, where that is not the same.
   */
  | { type: 'own'; bytes: number; zero: boolean; hole?: boolean };

/**
 * A write that may go ahead, for the first `bytes` of what was asked. Generic code writes the data to `child` at
 * `offset`, the head and tail too when they are there, then calls `commit`; on any failure `abort`.
 */
export interface WritePlan {
  bytes: number;
  child: DataPlace;
  offset: number;
  /** What `beginTransfer` gave, when the driver has it. */
  transfer?: number;
  /** Present when metadata must change after the data is written. */
  allocation?: Allocation;
}

export interface Allocation {
  /** Bytes of this node before and after the range that must be copied along (read through this node). */
  headBytes: number;
  tailBytes: number;
  /** Publishes the allocation; call after data, head and tail were written. */
  commit(): Promise<void>;
  /** Gives the space back. Never fails. */
  abort(): void;
}

export interface WriteFlags {
  /** Durable before the request completes. A driver that lacks it never sees it: the dispatcher flushes. */
  fua?: boolean;
  /** What the node reads as stays the same: data copied up from below, which no dirty bitmap records. */
  unchanged?: boolean;
}

/** Bytes as they lie in what `driver` stores. */
export interface SourceRange {
  readonly driver: Driver;
  readonly offset: number;
  readonly bytes: number;
}

export interface ZeroFlags extends WriteFlags {
  /** The space may be given back. */
  mayUnmap?: boolean;
  /** Fail with ENOTSUP rather than write buffers of zeros. */
  noFallback?: boolean;
}

/** Limits that the dispatcher keeps on behalf of the driver. All in bytes; 0 means none. */
export interface Limits {
  /** Every request is a multiple of this: a power of two. */
  requestAlignment: number;
  maxTransfer: number;
  /** Preferred unit of write-zeroes and discard; an unaligned edge is the driver's own affair. */
  writeZeroesAlignment: number;
  maxWriteZeroes: number;
  discardAlignment: number;
  maxDiscard: number;
}

export type Preallocation = 'off' | 'metadata' | 'falloc' | 'full';

export interface TruncateOptions {
  preallocation: Preallocation;
  /** New space reads as zeros even where the host cannot promise it. */
  zeroNewSpace?: boolean;
  /** What cannot change its length fails although it is long enough. */
  exact?: boolean;
}

/** What `query-named-block-nodes` and `img info` tell about a node beyond its graph. */
export interface DriverInfo {
  clusterBytes?: number;
  /** Offset in the node where VM state starts, when the format has a place for it. */
  vmStateOffset?: number;
  isDirty?: boolean;
  encrypted?: boolean;
  compressed?: boolean;
  /** `format-specific` of ImageInfo: `{type, data}`. */
  formatSpecific?: { type: string; data: object };
  snapshots?: object[];
}

/** The content of a node at a point in time that its driver keeps, while the node itself goes on. */
export interface SnapshotAccess {
  /** Errors: EACCES when the range, or any part of it, is not kept (any more); of I/O. */
  read(offset: number, buffer: Uint8Array): Promise<void>;
  /** What is known about the first `bytes` of the range. Errors: as `read`. */
  status(offset: number, bytes: number): Promise<{ bytes: number; zero: boolean }>;
  /** Nobody will read this range again. */
  discard(offset: number, bytes: number): Promise<void>;
}

/** An open driver. Every promise may reject with a BlockError only. */
export interface Driver {
  readonly limits?: Partial<Limits>;
  /** Whether the driver makes durable itself what is asked for: everything, or data but not zeros. */
  readonly supportsFua?: boolean | 'data';
  /** Its data are the bytes of its `file` child, all of them: what is kept beside that file is about this node. */
  readonly isWholeFile?: boolean;
  /** The backing file that the image itself names. block/ opens it, unless the options say otherwise. */
  readonly backing?: { filename: string; format: string | undefined } | undefined;
  /** Length in bytes, byte exact; the dispatcher rounds up to 512. */
  getLength(): Promise<number>;
  /** Answers at once when it can: awaiting what is already there would cost every small read 0.1 µs. */
  map?(offset: number, bytes: number, options?: { wantZero: boolean }): MaybePromise<Extent>;
  /**
   * Drivers that use host space again after it was freed: the time in which a mapping is in use is bracketed by these,
   * and space freed meanwhile must not get new content before its end. Generic code calls `beginTransfer` before `map`
   * and `endTransfer` when the read is done. For a write, `prepareWrite` begins it as it returns (`WritePlan.transfer`)
   * and generic code ends it after data and `commit`.
   */
  beginTransfer?(): number;
  endTransfer?(transfer: number): void;
  readSpecial?(extent: Extent & { type: 'special' }, offset: number, buffer: Uint8Array): Promise<void>;
  /** These two give `settled` back (base/settled.ts) when they were done at once: whoever called goes on without waiting. */
  read?(offset: number, buffer: Uint8Array): Promise<void>;
  write?(offset: number, buffer: Uint8Array, flags: WriteFlags): Promise<void>;
  /** As `read`, done when it returns. False when that would take long or fail: then `read` is to be used. */
  readNow?(offset: number, buffer: Uint8Array): boolean;
  /** Answers at once when it can, as `map`. */
  prepareWrite?(offset: number, bytes: number): MaybePromise<WritePlan>;
  /** Whoever fills a new image is to write whole clusters, by `writeCompressed`. */
  readonly needsCompressedWrites?: boolean;
  /** Writes exactly one cluster (the last may be short). Filters that let such writes pass say so by having it. */
  writeCompressed?(offset: number, buffer: Uint8Array): Promise<void>;
  /** Writes what lies elsewhere without its coming here. ENOTSUP, for whatever reason it cannot; part may be written. */
  copyRange?(offset: number, source: SourceRange): Promise<void>;
  /** ENOTSUP asks the dispatcher for the fallback. */
  writeZeroes?(offset: number, bytes: number, flags: ZeroFlags): Promise<void>;
  discard?(offset: number, bytes: number): Promise<void>;
  /**
   * Called before any guest request that changes data is let through; filters copy what it would overwrite. Undefined: there
   * is nothing to wait for.
   */
  beforeWrite?(offset: number, bytes: number, flags: WriteFlags): Promise<void> | undefined;
  /** A point in time that the driver keeps for readers; undefined while it keeps none. */
  readonly snapshotAccess?: SnapshotAccess | undefined;
  /** A drained section of the node begins, or the last one has ended. What the driver holds back must go at once. */
  drainChanged?(isDrained: boolean): void;
  /** Hands everything cached to the children. The dispatcher then flushes the children. */
  flush?(): Promise<void>;
  /** Requests that wait for a connection, or anything else that may never come, fail now. */
  cancelWaiting?(): void;
  /**
   * Hands everything cached to the children in the order that keeps the image sound, without any flush: for a process
   * that may die, not for a computer. The dispatcher then asks the same of the children.
   */
  writeOut?(): Promise<void>;
  /** All that a flush of the node is, in place of `flush` and of flushing every child. */
  flushChildren?(): Promise<void>;
  /** Called before a driver without `map` is asked about a range; a failure is the answer. */
  checkStatus?(offset: number, bytes: number): Promise<void>;
  readonly variableChildren?: VariableChildren;
  /** Somebody who works on this node has come to a point that tests want to reach. */
  debugEvent?(event: DebugEvent): Promise<void> | undefined;
  readonly breakpoints?: Breakpoints;
  truncate?(length: number, options: TruncateOptions): Promise<void>;
  /**
   * Whether its data may be holes of the child it is in, which then read as zeros although it is data. Absent: status of
   * the child is the status of the node.
   */
  mayHaveHoles?(): MaybePromise<boolean>;
  /** Space used on the host: protocols; the dispatcher sums children otherwise. */
  getAllocatedBytes?(): Promise<number | undefined>;
  /** What options have come to that leave open what is seen: in a `json:` file name these stand in their place. */
  readonly settledOptions?: Readonly<Record<string, unknown>>;
  /** Protocols: names the state of the content, another one after a change. Undefined: whoever keeps it does not tell. */
  contentVersion?(): Promise<string | undefined>;
  /** Absent: what is below it speaks for it. One without members says at least that the image is not dirty. */
  info?(): DriverInfo;
  /** Where dirty bitmaps of this node are stored; absent when its images have no place for them. */
  readonly bitmapStorage?: BitmapStorage;
  /** Internal snapshots; absent for formats without. */
  readonly snapshots?: SnapshotStorage;
  /** `driver-specific` members of query-blockstats. */
  statistics?(): object;
  /** Changes the backing file named in the image itself. */
  changeBackingFile?(filename: string | undefined, format: string | undefined): Promise<void>;
  /**
   * Nothing is held by the node itself any more: everything reads as its backing file. For a drained node; a crash on
   * the way leaves, of every range, either what was there or what is below. Absent: formats without backing files.
   */
  makeEmpty?(): Promise<void>;
  /** Whether a new image of this driver reads as zeros, so that zeros need not be written to it. */
  readonly hasZeroInit?: boolean;
  /** Permission masks this driver needs on a child; the default follows the child's role (permissions.ts). */
  childPermissions?(
    child: Edge,
    cumulative: { perm: number; shared: number },
  ): { perm: number; shared: number };
  /** Called when the node's cumulative permissions change, before (check) and after (set). */
  checkPermissions?(perm: number, shared: number): Promise<void>;
  setPermissions?(perm: number, shared: number): Promise<void>;
  abortPermissions?(): void;
  /**
   * Prepares to be open in another way. The node is drained; `context.flags` change between `reopen` and `commit`.
   * Absent: the node cannot be reopened. Errors: what cannot be; nothing has changed then.
   */
  reopen?(change: ReopenChange): Promise<ReopenStep>;
  /** Flushes nothing by itself except the format's own metadata, which must be complete afterwards. */
  close(): Promise<void>;
}

/** Children that come and go while the node is open: x-blockdev-change. */
export interface VariableChildren {
  /** Throws when there can be no further child. */
  nextName(): string;
  /** A child has been added under `nextName`. */
  added(): void;
  /** Throws when no child can be spared. */
  checkRemoval(): void;
  removed(name: string): void;
}

export interface ReopenChange<Options extends object = object> {
  /** How the node is to be open. A file that can only be read may set `readOnly` with `autoReadOnly`. */
  flags: OpenFlags;
  /** The driver's own options, all of them. */
  options: Checked<Options>;
}

/** What a driver has prepared. Steps after `prepare` cannot fail; what does is a broken node. */
export interface ReopenStep {
  commit?(): Promise<void>;
  abort?(): Promise<void>;
  /** When all nodes have committed: the children can be used in the new way. */
  afterCommit?(): Promise<void>;
}

/** The consistency check of a format (specification: qcow2, section 10; cli, section 2). */
export interface CheckResult {
  checkErrors: number;
  corruptions: number;
  leaks: number;
  corruptionsFixed: number;
  leaksFixed: number;
  imageEndOffset: number;
  totalClusters: number;
  allocatedClusters: number;
  fragmentedClusters: number;
  compressedClusters: number;
}

export interface CheckOptions {
  fix: { leaks: boolean; errors: boolean };
  /** One finding, as a line of text. `ends`: the check cannot go on. */
  report(line: string, ends?: true): void;
}

/** A child that blockdev-add takes as an inline object or as the name of an existing node. */
export interface ChildSpec {
  name: string;
  optional?: boolean;
  /** `null` is allowed and means: none. */
  nullable?: boolean;
  /** `NAME.0`, `NAME.1`, … */
  list?: boolean;
}

/** A driver as the registry has it: its name, its options, its children, and how nodes of it are opened and made. */
export interface DriverDefinition<Options extends object = object> {
  /** The QMP `driver` name. */
  readonly name: string;
  readonly kind: 'protocol' | 'format' | 'filter';
  /** Members of the BlockdevOptions branch, beyond the common ones. */
  readonly options: StructType<Options>;
  readonly children?: readonly ChildSpec[];
  /** Options that change what data is seen, and so belong in a `json:` file name (specification: graph, section 6). */
  readonly strongOptions?: readonly string[];
  /** Own options that names and option strings may have for the sake of old ones, and what commands want in their place. */
  readonly oldOptions?: Readonly<Record<string, string>>;
  /** Own options that `reopen` can change. */
  readonly reopenableOptions?: readonly string[];
  /**
   * Every image is one of this format: it is taken for that when no other format recognises it. What was guessed so may
   * be anything: its first sector must not become another format's header.
   */
  readonly isProbeFallback?: true;
  /** Score 0–100 that the first bytes of an image are this format (specification: graph, section 6). */
  probe?(head: Uint8Array): number;
  /** Reached as `PREFIX:rest`: `parseFilename` turns the whole name into options, children included. */
  readonly filenamePrefix?: string;
  /** Further prefixes. */
  readonly otherPrefixes?: readonly string[];
  parseFilename?(filename: string): NodeOptions;
  /** Protocols: names without a prefix are files of the platform, and this is the driver for them. */
  readonly servesPlainNames?: true;
  /** Protocols: whether this is the driver for the platform's file of a name without a prefix, in place of that one. */
  claimsFile?(files: Files, filename: string): Promise<boolean>;
  /** A file name that says everything the options say, or undefined when only `json:` can. Given those of the children. */
  exactFilename?(
    options: Checked<Options>,
    childName: (child: string) => string | undefined,
  ): string | undefined;
  /** Each child has all the data of the node, as far as the node vouches for it: a copy of the node may take a child's place. */
  readonly isReplicated?: true;
  /** Reads write: copies to what it filters, which has to stay writable when nobody writes to the node any more. */
  readonly writesOnRead?: true;
  /** Protocols whose files are in no folder from which others could be found: as messages call such nodes. */
  readonly withoutFolder?: string;
  /** Shows the file name of what it filters, or of its `file` child, as its own. */
  readonly isNamedAsChild?: boolean;
  open(context: OpenContext, options: Checked<Options>): Promise<Driver>;
  /** Makes a new image. `img create`, drive-backup and blockdev-create all come here. */
  readonly create?: CreateDefinition;
  check?(driver: Driver, options: CheckOptions): Promise<CheckResult>;
  /** Absent: images of the driver cannot be amended. */
  readonly amend?: AmendDefinition;
  /** Backing files make sense for this format. */
  readonly supportsBacking?: boolean;
}

/** One creation option as `img create -o help` lists it and `Formatting …` prints it. */
export interface CreateOption {
  name: string;
  type: 'string' | 'bool' | 'size' | 'number';
  help: string;
  /** Printed in `Formatting …` when the option is not given. */
  default?: string;
}

/** What blockdev-create takes for a driver: its branch of BlockdevCreateOptions. */
export interface CreateJobDefinition<Options extends object = object> {
  /** Protocols: with `filename`. Formats: without `file`, the node into which the image is written. */
  readonly options: StructType<Options>;
  /** `file`, and other nodes that the image is made of. */
  readonly children?: readonly ChildSpec[];
  /** The same as values of creation options. Errors: what is wrong with them. */
  values(options: Options): CreateValues;
}

/** What can be changed of images that there are. */
export interface AmendDefinition<Options extends object = object> {
  /** What x-blockdev-amend takes for a driver: its branch of BlockdevAmendOptions. */
  readonly options: StructType<Options>;
  /** The change that these ask for. Errors: what cannot be changed; of I/O. */
  change(node: BlockNode, options: Options, how: AmendManner): Promise<void>;
  /** What `img amend -o` takes. */
  imageOptions(): MaybePromise<readonly CreateOption[]>;
  /** For an image that nobody else uses, below filters if there are any. Errors: what cannot be changed. */
  plan(image: BlockBackend, values: CreateValues, how: AmendManner): Promise<AmendPlan>;
}

export interface AmendManner {
  /** Also what may lose all data of the image: its last key. */
  readonly force: boolean;
}

/** Changes of an image that nothing speaks against. */
export interface AmendPlan {
  /** The image will have no place for its bitmaps: the caller removes them first. */
  readonly dropsBitmaps: boolean;
  /**
   * A crash on the way leaves a sound image with its contents. `report` hears how much of it is done, from 0 to 1. Errors: of I/O, and of
   * the host's space.
   */
  apply(report?: (done: number) => void): Promise<void>;
}

/** What a new file is made with. */
export type NewFileContext = Pick<OpenContext, 'platform' | 'secret'>;

export interface CreateDefinition {
  readonly options: readonly CreateOption[];
  /** Absent: blockdev-create does not make such images. */
  readonly job?: CreateJobDefinition;
  /**
   * Protocols: makes (or empties) the file itself. Values: `size`, `preallocation` and what `options` lists. `opened`
   * is called, for a job, when the file is there and nobody else uses it. A file that was made or emptied is gone when
   * that fails; that of a job stays.
   */
  createFile?(
    platform: Platform,
    filename: string,
    values: CreateValues,
    opened?: () => Promise<void>,
  ): Promise<void>;
  /**
   * Protocols whose files are made as a whole: begins one, which is there when it is finished. Values: `size` and what `options` lists.
   */
  beginFile?(
    context: NewFileContext,
    filename: string,
    values: CreateValues,
    bounds: FileBounds,
  ): Promise<OrderedFile>;
  /** Protocols: takes away what `createFile` made, because no image came of it. Fails silently. */
  removeFile?(platform: Platform, filename: string): Promise<void>;
  /**
   * Formats: refuses values that `createImage` cannot do, when no file has been made or emptied yet.
   */
  checkValues?(values: CreateValues, graph: BlockGraph): MaybePromise<void>;
  /**
   * Formats: writes an empty image into `file`, which exists, has length 0 and is open for writing and resizing.
   * Absent for a format whose image is the bare file (raw): then `createFile` of the protocol gets all values.
   */
  createImage?(file: BlockBackend, values: CreateValues, place: CreatePlace): Promise<void>;
}

/**
 * Where an image is made, for formats whose images have further files (new-files.ts): beside the file of that name, by its
 * protocol; or in nodes that options of blockdev-create have.
 */
export type CreatePlace = { readonly graph: BlockGraph } & (
  | { readonly filename: string; readonly protocol: DriverDefinition }
  | { readonly given: Readonly<Record<string, unknown>> }
);

/** Already checked for type: bool → boolean, size and number → number, string → string. `size` is always there. */
export type CreateValues = Readonly<Record<string, string | number | boolean | undefined>>;
