/**
 * The platform interface: everything that blockyard takes from the world around it.
 *
 * Time, chance, files and codecs are parameters. `node/` implements them with the operating system, `sim/` with a
 * virtual clock and seeded storage that can delay, fail and lose writes. Nothing outside platform/ and cli/ reaches
 * the world any other way; a test enforces it.
 *
 * Standard streams, and the sockets of monitors, are not here: a monitor takes any byte stream, and cli/ makes those.
 */
import type { Blobs } from './blobs.ts';
import type { Sockets } from './sockets.ts';
import type { Tls } from './tls.ts';
import type { WebSockets } from './websockets.ts';

/** What the block layer takes from the world: time, chance, files, codecs, and a way to tell people something. */
export interface Platform {
  readonly clock: Clock;
  readonly random: Random;
  readonly files: Files;
  /** Absent where there are no folders of files that somebody else could look into. */
  readonly folders?: Folders;
  readonly codecs: Codecs;
  /** Prints one line for the person at the terminal: `Formatting …`, `WARNING: …`. */
  readonly console: Console;
  /** What the operating system calls the thread that everything runs in. Absent where it says nothing. */
  readonly threadId?: number;
  /** Absent where programs do not know about each other. */
  readonly identity?: () => ProcessIdentity;
  /** Absent where nobody can be reached over HTTP. */
  readonly fetch?: Fetch;
  /** Absent where nothing outlives the program that could be fetched again. */
  readonly chunkStore?: ChunkStore;
  /** Absent where nobody can be listened for. */
  readonly sockets?: Sockets;
  /** Absent where connections are not made secure here. */
  readonly tls?: Tls;
  /** Absent where nothing is encrypted here. */
  readonly ciphers?: Ciphers;
  /** Absent where nothing is hashed but by our own code. */
  readonly hashes?: Hashes;
  /** Absent where there are none. */
  readonly webSockets?: WebSockets;
  /** Variables that whoever started the program has set. Absent where nobody sets any. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Where files go that outlive nothing. Without a slash at the end; absent where there are no such files. */
  readonly temporaryDirectory?: string;
  /** Absent where nobody hands over Blobs. */
  readonly blobs?: Blobs;
  /** Waits for a part of the program that is being loaded. Absent where it may take its time like anything else. */
  readonly loadPart?: <T>(load: () => Promise<T>) => Promise<T>;
}

/** A part of the program that few need, loaded when it is used first: `load` imports it. */
export function loadPart<T>({ loadPart: wait }: Platform, load: () => Promise<T>): Promise<T> {
  return wait ? wait(load) : load();
}

/** By which other programs, also on other computers, know this one. */
export interface ProcessIdentity {
  readonly username: string;
  readonly hostname: string;
  readonly pid: number;
}

/** HTTP requests, as the global `fetch` makes them. Redirects are followed unless a request says otherwise. */
export interface Fetch {
  /**
   * Settles when the head of the response is there. Rejects with an Error whose message says why there is no response:
   * the connection failed or was lost, or `signal` was aborted.
   */
  (url: string, request: FetchRequest): Promise<FetchResponse>;
  /** Cookies of the request are sent. Browsers send their own, and drop these. */
  readonly setsCookies?: true;
}

export interface FetchRequest {
  method: 'GET' | 'HEAD' | 'PUT' | 'DELETE' | 'POST';
  /** Names in lower case. */
  headers: Readonly<Record<string, string>>;
  /** It stays untouched until there is a response. */
  body?: Uint8Array;
  /** A redirect is a response like any other. */
  redirect?: 'manual';
  /** The host's own cache is left out: it may put together ranges of different states of a file. */
  cache: 'no-store';
  /** Ends the request, and the transfer of the body. */
  signal: AbortSignal;
}

export interface FetchResponse {
  readonly status: number;
  /** Null: not sent, or not for this program to see. */
  readonly headers: { get(name: string): string | null };
  /** Null: there is none. */
  readonly body: { getReader(): BodyReader } | null;
}

/** The body of a response, as a reader of a ReadableStream gives it. */
export interface BodyReader {
  /** What comes next, or no value at the end. Rejects with an Error when the connection is lost, or `signal` aborted. */
  read(): Promise<{ value?: Uint8Array | undefined }>;
}

/**
 * Pieces of remote files that were fetched once, kept beyond the end of the program. What is not found is fetched
 * again: nothing depends on what is here. `file` names a file in one state, by its URL and its validator.
 */
export interface ChunkStore {
  get(file: string, chunk: number): Promise<Uint8Array | undefined>;
  /** `bytes` stays untouched. */
  put(file: string, chunk: number, bytes: Uint8Array): Promise<void>;
}

export interface Console {
  stdout(line: string): void;
  stderr(line: string): void;
  /** A line on standard error, after the program's name where one is in front of its messages. */
  error(message: string): void;
  /** A line on standard error that begins with `warning: `, after the program's name where one is in front of its messages. */
  warn(message: string): void;
  /**
   * Prints one line to standard error and ends the program with status 1, whatever it is doing. Throws ProgramEnded
   * where there is no program to end.
   */
  fatal(line: string): never;
}

/** What a platform throws in place of ending the program. */
export class ProgramEnded extends Error {
  override readonly name = 'ProgramEnded';
}

export interface Clock {
  /** Monotonic time in nanoseconds, as a number (exact below 2^53: 104 days). */
  nowNs(): number;
  /** Wall clock since the Unix epoch. */
  wallClock(): { seconds: number; microseconds: number };
  /** Calls back once after `delayNs`, and never before the current task ends. */
  setTimer(delayNs: number, callback: () => void): Timer;
  /**
   * Lets everything else that is ready run once: input, timers, other requests. Whoever makes requests in a loop calls
   * it at least every 2 ms: a file request that blocks for microseconds gives the event loop no turn by itself.
   */
  yield(): Promise<void>;
}

export interface Timer {
  /** Harmless when the timer has fired or was cancelled before. */
  cancel(): void;
}

export interface Random {
  /** An integer ≥ 0 and < `limit` (≤ 2^32). */
  below(limit: number): number;
  /** Fills `buffer`. */
  fill(buffer: Uint8Array): void;
}

export interface Files {
  /**
   * Opens a file. Errors: BlockError with the errno and strerror as message (the caller adds the name).
   * A directory gives EISDIR when it is opened for writing or read. What is neither a regular file nor a block device can
   * be opened and then only be asked for its status.
   */
  open(path: string, options: FileOpenOptions): Promise<HostFile>;
  stat(path: string): Promise<FileStatus>;
  unlink(path: string): Promise<void>;
  /** A name for one file that does not depend on the path taken to it. Equal for equal files. */
  identify(path: string): Promise<string>;
}

/** Folders of files that are written once and never changed. Errors: BlockError with the errno and strerror as message. */
export interface Folders {
  /** Makes it, and those above; only the owner may look into it. Nothing happens when it is there. */
  make(path: string): Promise<void>;
  /** What is in it, itself and not below; nothing where it is not. */
  list(path: string): Promise<readonly FolderEntry[]>;
  /** A file with that content, durable, under its name once it is whole. One that is there is replaced. */
  writeWhole(path: string, parts: readonly Uint8Array[]): Promise<void>;
}

export interface FolderEntry {
  readonly name: string;
  readonly isFolder: boolean;
  /** Of a file. */
  readonly bytes: number;
}

/** `native` is what the kernel has for files past the page cache. */
export type AioMode = 'threads' | 'native' | 'io_uring';

export interface FileOpenOptions {
  write: boolean;
  /** `exclusive`: EEXIST when it exists; `truncate`: made when absent, emptied when present. */
  create?: 'exclusive' | 'truncate' | 'if-absent';
  /** Bypass the host page cache (O_DIRECT) where that exists. */
  direct?: boolean;
  /** How requests reach the host that take long. Absent: by the best way there is. */
  aio?: AioMode | undefined;
  /** Told once, at the latest when a request takes long, by which way those go, and why not by `io_uring`. */
  chosen?: ((way: 'threads' | 'io_uring', why: string) => void) | undefined;
}

export interface FileStatus {
  type: 'file' | 'directory' | 'character-device' | 'block-device' | 'other';
  size: number;
  /** Bytes that the host's file system spends on it. */
  allocatedBytes: number;
  /** When the content was last changed: equal strings for equal times, of at most 32 characters. Absent: unknown. */
  modified?: string;
}

/** One extent as the host's file system knows it. */
export interface HostExtent {
  type: 'data' | 'hole';
  /** Bytes from the queried offset to the end of this extent; > 0. */
  bytes: number;
}

/**
 * An open file. Operations on disjoint ranges may overlap in time and finish in any order. Buffers belong to the
 * caller and stay untouched by it until the promise settles. Errors: BlockError.
 */
export interface HostFile {
  /** Alignment in bytes of offset, length and memory: 1, or 512/4096 with `direct`. */
  readonly requestAlignment: number;
  /** Fills `buffer` from `offset`; what lies past the end of the file reads as zero. */
  read(offset: number, buffer: Uint8Array): Promise<void>;
  /** As `read`, done when it returns. False when that would take long or fail: then `read` is to be used. */
  readNow?(offset: number, buffer: Uint8Array): boolean;
  write(offset: number, buffer: Uint8Array): Promise<void>;
  /** Writes one buffer behind the other from `offset` on. It is for bulk: it never blocks. Absent: one write each will do. */
  writeAll?(offset: number, buffers: readonly Uint8Array[]): Promise<void>;
  /** Makes every write that finished before durable (fdatasync). */
  flush(): Promise<void>;
  getSize(): Promise<number>;
  truncate(size: number): Promise<void>;
  status(): Promise<FileStatus>;
  /** The extent at `offset` < size. Where the host cannot tell, all is data. */
  extent(offset: number): Promise<HostExtent>;
  /**
   * Range becomes zeros; with `unmap` its space is given back, and what lies behind the end need not make the file longer.
   * False: the host cannot, nothing changed.
   */
  zero(offset: number, bytes: number, options: { unmap: boolean }): Promise<boolean>;
  /** Gives space back; the range then reads as zeros. False: the host cannot, nothing changed. */
  discard(offset: number, bytes: number): Promise<boolean>;
  /** Reserves space without changing the content; may extend the file. False: the host cannot. */
  allocate(offset: number, bytes: number): Promise<boolean>;
  /**
   * Copies a range of another file, without its bytes coming here. False: the host cannot, for any reason, and part of
   * it may be copied. Absent: it never can.
   */
  copyFrom?(source: HostFile, sourceOffset: number, offset: number, bytes: number): Promise<boolean>;
  /**
   * Has the device begin to take what was written to the range, and waits for nothing: a host with too much that is not yet
   * written makes every writer wait. No promise that it is durable. Absent: it comes when the host thinks fit.
   */
  startWriteback?(offset: number, bytes: number): void;
  /** How the file system is to lay out what is written from now on. What it cannot do is as if it had not been asked for. */
  advise?(layout: FileLayout): void;
  /** Undefined where the host has no open-file-description locks. */
  readonly locks: ByteLocks | undefined;
  /** Of a block device. It has a length that nothing here changes; `truncate` gives EINVAL. */
  readonly device?: HostDevice | undefined;
  close(): Promise<void>;
}

export interface FileLayout {
  /** Changes are made in place, also where the file system otherwise copies on write (btrfs). */
  readonly inPlace: boolean;
  /** Space is reserved in units of so many bytes (XFS), below 2^32; 0: as the file system does. */
  readonly extentBytes: number;
}

/** What there is to ask of a block device beside its content. */
export interface HostDevice {
  isWriteProtected(): boolean;
  /** Of a drive for discs. */
  driveStatus(): 'no-drive' | 'no-disc' | 'disc';
}

/** Open-file-description locks on single bytes, all taken shared (specification: graph, section 7). */
export interface ByteLocks {
  lockShared(offset: number): void;
  unlock(offset: number): void;
  /** Whether anybody else holds a lock on the byte. */
  isHeldByOther(offset: number): boolean;
}

/** Encryption, as what users hand over may have it. */
export interface Ciphers {
  /** AES-256 in CBC mode, without a padding. `key` has 32 bytes, `iv` 16, `data` a multiple of 16. */
  decryptCbc(data: Uint8Array, key: Uint8Array, iv: Uint8Array): Uint8Array;
  /**
   * AES-256 in counter mode, which decrypts as it encrypts. `key` has 32 bytes; `iv` is the first value of a counter of 128
   * bits, most significant byte first.
   */
  applyCtr(data: Uint8Array, key: Uint8Array, iv: Uint8Array): Uint8Array | Promise<Uint8Array>;
  /** One block by AES-128. `block` and `key` have 16 bytes. */
  encryptBlock(block: Uint8Array, key: Uint8Array): Uint8Array | Promise<Uint8Array>;
  /** AES by blocks: what the encryption of disks is made of. `key` has 16, 24 or 32 bytes. */
  aesBlocks(key: Uint8Array): BlockCipher;
}

/** A block cipher under one key. Data is a multiple of 16 bytes long and stays as it is; what comes back is the caller's. */
export interface BlockCipher {
  /** Each block by itself. */
  encrypt(data: Uint8Array): Uint8Array;
  /** The same back. */
  decrypt(data: Uint8Array): Uint8Array;
  /** In CBC mode: each block is mixed with the one before, the first with `iv`. */
  encryptChained(data: Uint8Array, iv: Uint8Array): Uint8Array;
}

/** Hashes of content, and keys made of passwords. */
export interface Hashes {
  sha256(data: Uint8Array): Uint8Array | Promise<Uint8Array>;
  /** One that has been given nothing yet. Absent where the host has none that takes its input in parts. */
  startSha256?(): Hash;
  /** scrypt (RFC 7914). `cost`, a power of two, and `blockSize` together take 128 bytes each of memory. */
  scrypt(password: Uint8Array, salt: Uint8Array, cost: ScryptCost, bytes: number): Promise<Uint8Array>;
  /** One of those that disks are encrypted with, by a name such as `sha256`. Undefined: the host does not have it. */
  named(name: string): NamedHash | undefined;
}

export interface NamedHash {
  readonly digestBytes: number;
  digest(data: Uint8Array): Uint8Array;
  /** PBKDF2 (RFC 8018) with HMAC of this hash. `iterations`: from 1 to 2^31 - 1. */
  deriveKey(password: Uint8Array, salt: Uint8Array, iterations: number, bytes: number): Promise<Uint8Array>;
}

/** N, r and p of RFC 7914, section 2. */
interface ScryptCost {
  readonly cost: number;
  readonly blockSize: number;
  readonly parallelization: number;
}

/** A hash of what it is given, one part after the other. */
interface Hash {
  update(part: Uint8Array): void;
  /** Comes last. */
  digest(): Uint8Array;
}

/** Compression of one cluster at a time. */
export interface Codecs {
  readonly deflate: Codec;
  readonly zstd: Codec;
}

export interface Codec {
  /**
   * Fills exactly `output.length` bytes from the stream that starts `input`; trailing input is ignored.
   * EIO when the stream is damaged, short or would give more.
   */
  decompress(input: Uint8Array, output: Uint8Array): Promise<void>;
  /** The compressed stream, or undefined when it would not be smaller than `limit` bytes. */
  compress(input: Uint8Array, limit: number): Promise<Uint8Array | undefined>;
  /**
   * All that `input` holds, which does not say beforehand how long it will be. EIO when it is damaged, or would give more than
   * `limit` bytes. Absent where nobody asks.
   */
  decompressWhole?(input: Uint8Array, limit: number): Promise<Uint8Array>;
}

/** One that has it. */
export type WholeCodec = Required<Codec>;
