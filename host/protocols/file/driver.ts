/**
 * The `file` protocol: an image in a regular file of the host (specification: graph, sections 3, 7 and 9).
 *
 * The platform does the I/O; here are the options, the image locks, and what QEMU says when something is wrong.
 * What is quick the platform does in place, whatever `aio` says; that is for requests that take long. Devices have drivers of their own (device.ts), which share all that is alike. A file opened read-only by
 * `auto-read-only` stays so, and options for persistent reservations and page cache dropping are refused unless they
 * have their default.
 */
import { asBlockError, BlockError, invalid } from '../../base/errors.ts';
import type { MaybePromise } from '../../base/maybe-promise.ts';
import type {
  Driver,
  DriverDefinition,
  DriverInfo,
  Extent,
  ReopenChange,
  ReopenStep,
  SourceRange,
  TruncateOptions,
  WriteFlags,
  ZeroFlags,
} from '../../block/driver.ts';
import { plainName } from '../../block/filename.ts';
import type { OpenContext, OpenFlags } from '../../block/open-context.ts';
import type { AioMode, HostFile } from '../../platform/platform.ts';
import { refusedValue } from '../../qapi/block-types.ts';
import { bool, enumeration, int, optional, str, struct, type TypeOf, worded } from '../../qapi/types.ts';
import { fileWay } from '../../trace/host-events.ts';
import { createFile, fileCreateJob, fileCreateOptions, removeFile } from './create.ts';
import { ImageLocks } from './image-locks.ts';
import { KnownData } from './known-data.ts';
import { preallocate } from './preallocate.ts';

/** The options of `driver`, which is the file protocol or one for devices. */
export function fileOptions(driver: string) {
  return struct('BlockdevOptionsFile', {
    filename: worded(str, { missing: missingFilename(driver) }),
    'pr-manager': optional(str),
    locking: optional(worded(enumeration('OnOffAuto', ['auto', 'on', 'off']), { refused: refusedValue })),
    aio: optional(
      worded(enumeration('BlockdevAioOptions', ['threads', 'native', 'io_uring']), { refused: refusedValue }),
    ),
    'aio-max-batch': optional(int),
    // Of no account: what the host has cached of a file is what the file holds.
    'drop-cache': optional(bool),
    'x-check-cache-dropped': optional(bool),
  });
}

const options = fileOptions('file');

export type FileOptions = TypeOf<typeof options>;

function missingFilename(driver: string): string {
  return `The '${driver}' block driver requires a file name`;
}

export const file: DriverDefinition<FileOptions> = {
  name: 'file',
  kind: 'protocol',
  options,
  strongOptions: ['filename'],
  reopenableOptions: ['drop-cache'],
  filenamePrefix: 'file',
  servesPlainNames: true,
  parseFilename: (filename) => ({ filename: plainName(filename.replace(/^file:/, '')) }),
  exactFilename: (given) => plainName(given.filename),
  open: openFile,
  create: { options: fileCreateOptions, job: fileCreateJob, createFile, removeFile },
};

async function openFile(context: OpenContext, given: FileOptions): Promise<Driver> {
  checkOptions('file', given);
  const { filename } = given;
  const opened = await openHostFile(context, given);
  try {
    checkAio(context, given);
    if ((await opened.status()).type !== 'file') throw notRegular(filename);
    return new FileDriver(context, given, opened, lockingOf(context, given, opened));
  } catch (error) {
    await opened.close();
    throw error;
  }
}

/** Refuses values that `driver` does nothing for. */
export function checkOptions(driver: string, given: FileOptions): void {
  if (typeof given.filename !== 'string' || given.filename === '') throw invalid(missingFilename(driver));
  const manager = given['pr-manager'];
  if (manager !== undefined) throw invalid(`No persistent reservation manager with id '${manager}'`);
  if (given['x-check-cache-dropped'] === true)
    throw invalid("Option 'x-check-cache-dropped' can only be off");
  if ((given['aio-max-batch'] ?? 0) !== 0) throw invalid("Option 'aio-max-batch' can only be 0");
}

/** Of a file that is open: one that is not there is told first. */
export function checkAio({ flags }: OpenContext, given: FileOptions): void {
  if (aioOf(given, flags) === 'native' && !flags.direct)
    throw invalid('aio=native was specified, but it requires cache.direct=on, which was not specified.');
}

function aioOf(given: FileOptions, { aio }: Readonly<OpenFlags>): AioMode | undefined {
  return given.aio ?? aio;
}

/** By which way requests reach the host that take long. */
function tellWay(
  { platform, nodeName }: OpenContext,
  { aio, way, why }: { aio: AioMode | undefined; way: string; why: string },
): void {
  if (aio === 'io_uring' && way !== aio) {
    const failure = `failed to init linux io_uring ring: ${why}`;
    platform.console.error(`Unable to use linux io_uring, falling back to thread pool: ${failure}`);
  }
  if (fileWay.enabled) fileWay.emit({ node: nodeName, way, why: why || 'there' });
}

/** Opens the file as the node is to be open. Errors: `Could not open 'F': …`. */
export async function openHostFile(context: OpenContext, given: FileOptions): Promise<HostFile> {
  return openAs(context, given, context.flags, () => context.fallBackToReadOnly());
}

/** Opens as `flags` say; with auto-read-only, a file that cannot be written is read, and `fallBack` called. */
async function openAs(
  context: OpenContext,
  given: FileOptions,
  flags: Readonly<OpenFlags>,
  fallBack: () => void,
): Promise<HostFile> {
  const { filename } = given;
  const aio = aioOf(given, flags);
  const chosen = (way: string, why: string): void => tellWay(context, { aio, way, why });
  const open = (write: boolean): Promise<HostFile> =>
    context.platform.files.open(filename, { write, direct: flags.direct, aio, chosen });
  let first: HostFile | undefined;
  try {
    first = await open(!flags.readOnly);
  } catch (error) {
    const failure = asBlockError(error);
    if (flags.readOnly && failure.errno === 'EISDIR') throw notRegular(filename);
    const mayFallBack = failure.errno === 'EACCES' || failure.errno === 'EROFS';
    if (flags.readOnly || !flags.autoReadOnly || !mayFallBack) {
      throw failure.within(`Could not open '${filename}'`);
    }
  }
  if (first) {
    if (flags.readOnly || !first.device?.isWriteProtected()) return first;
    await first.close();
    if (!flags.autoReadOnly) throw notWritable();
  }
  try {
    const opened = await open(false);
    fallBack();
    return opened;
  } catch (error) {
    throw asBlockError(error).within(`Could not open '${filename}'`);
  }
}

/** Of a device that can be opened for writing, and then refuses every write. */
export function notWritable(): BlockError {
  return new BlockError('EACCES').within('The device is not writable');
}

function notRegular(filename: string): BlockError {
  return invalid(`'file' driver requires '${filename}' to be a regular file`);
}

/** Undefined where there are to be no image locks, or can be none. */
export function lockingOf(
  context: OpenContext,
  given: FileOptions,
  opened: HostFile,
): ImageLocks | undefined {
  if (given.locking === 'off') return undefined;
  const { locks } = opened;
  if (locks) return new ImageLocks(locks, given.filename);
  const why = 'this host has no open-file-description locks (Linux with the optional package koffi has)';
  if (given.locking === 'on') throw new BlockError('ENOTSUP', `Option 'locking' cannot be on: ${why}`);
  context.warnOnce(`images are not locked against other processes: ${why}`);
  return undefined;
}

export class FileDriver implements Driver {
  limits: { requestAlignment: number };
  readonly hasZeroInit: boolean = true;
  /** Whoever watches or fails flushes learns nothing of a write that is made durable by itself. */
  readonly supportsFua = 'data';
  private readonly discards = { ok: 0, failed: 0, bytes: 0 };
  private readonly forceShare: boolean;
  private readonly knownData = new KnownData();

  constructor(
    private readonly context: OpenContext,
    private readonly given: FileOptions,
    protected opened: HostFile,
    private readonly locks: ImageLocks | undefined,
  ) {
    this.limits = { requestAlignment: opened.requestAlignment };
    this.forceShare = context.flags.forceShare;
  }

  getLength(): Promise<number> {
    return this.opened.getSize();
  }

  read(offset: number, buffer: Uint8Array): Promise<void> {
    return this.opened.read(offset, buffer);
  }

  readNow(offset: number, buffer: Uint8Array): boolean {
    return this.opened.readNow?.(offset, buffer) ?? false;
  }

  write(offset: number, buffer: Uint8Array, flags: WriteFlags): Promise<void> {
    return flags.fua ? this.writeDurably(offset, buffer) : this.opened.write(offset, buffer);
  }

  private async writeDurably(offset: number, buffer: Uint8Array): Promise<void> {
    await this.opened.write(offset, buffer);
    if (!this.context.flags.noFlush) await this.opened.flush();
  }

  map(offset: number, bytes: number, { wantZero } = { wantZero: true }): MaybePromise<Extent> {
    if (!wantZero) return { type: 'own', bytes, zero: false };
    const known = this.knownData.bytesAt(offset);
    if (known > 0) return { type: 'own', bytes: Math.min(bytes, known), zero: false };
    return this.lookAt(offset, bytes);
  }

  private async lookAt(offset: number, bytes: number): Promise<Extent> {
    const size = await this.opened.getSize();
    // Up to the end of the last sector the file reads as zeros.
    if (offset >= size) return { type: 'own', bytes, zero: true };
    const extent = await this.opened.extent(offset);
    const isHole = extent.type === 'hole';
    if (!isHole) this.knownData.add(offset, extent.bytes);
    const reachesEnd = isHole && offset + extent.bytes >= size;
    return { type: 'own', bytes: reachesEnd ? bytes : Math.min(bytes, extent.bytes), zero: isHole };
  }

  async copyRange(offset: number, { driver, offset: from, bytes }: SourceRange): Promise<void> {
    // The host may copy holes, too.
    this.knownData.forget(offset, bytes);
    const isCopied =
      driver instanceof FileDriver && (await this.opened.copyFrom?.(driver.opened, from, offset, bytes));
    if (isCopied !== true) throw new BlockError('ENOTSUP');
  }

  async writeZeroes(offset: number, bytes: number, flags: ZeroFlags): Promise<void> {
    this.knownData.forget(offset, bytes);
    const zeroed = await this.opened.zero(offset, bytes, { unmap: flags.mayUnmap === true });
    if (!zeroed) throw new BlockError('ENOTSUP');
  }

  async discard(offset: number, bytes: number): Promise<void> {
    this.knownData.forget(offset, bytes);
    let done = false;
    try {
      done = await this.opened.discard(offset, bytes);
    } finally {
      if (done) this.discards.ok++;
      else this.discards.failed++;
    }
    if (!done) throw new BlockError('ENOTSUP');
    this.discards.bytes += bytes;
  }

  info(): DriverInfo {
    return { formatSpecific: { type: 'file', data: {} } };
  }

  statistics(): object {
    const { ok, failed, bytes } = this.discards;
    return { 'discard-nb-ok': ok, 'discard-nb-failed': failed, 'discard-bytes-ok': bytes };
  }

  flush(): Promise<void> {
    return this.opened.flush();
  }

  async truncate(length: number, { preallocation }: TruncateOptions): Promise<void> {
    const size = await this.opened.getSize();
    if (preallocation !== 'off' && length < size)
      throw invalid('Cannot use preallocation for shrinking files');
    if (preallocation === 'metadata')
      throw new BlockError('ENOTSUP', 'Unsupported preallocation mode: metadata');
    if (preallocation === 'off') {
      await this.resize(length);
      return;
    }
    try {
      await preallocate(this.opened, preallocation, size, length);
    } catch (error) {
      // Whatever was reserved beyond the old end is worth nothing without the rest.
      await this.resize(size);
      throw error;
    }
  }

  private async resize(length: number): Promise<void> {
    this.knownData.forget(length, Number.POSITIVE_INFINITY);
    try {
      await this.opened.truncate(length);
    } catch (error) {
      throw asBlockError(error).within('Could not resize file');
    }
  }

  async getAllocatedBytes(): Promise<number> {
    return (await this.opened.status()).allocatedBytes;
  }

  async contentVersion(): Promise<string | undefined> {
    const { modified } = await this.opened.status();
    return modified === undefined ? undefined : `changed at ${modified}`;
  }

  async checkPermissions(perm: number, shared: number): Promise<void> {
    this.locks?.prepare(perm, this.forceShare ? 0 : ~shared);
  }

  async setPermissions(): Promise<void> {
    this.locks?.commit();
  }

  abortPermissions(): void {
    this.locks?.abort();
  }

  /** The file is opened again only when the descriptor must be another: for writing, or past the page cache. */
  async reopen({ flags }: ReopenChange): Promise<ReopenStep> {
    const now = this.context.flags;
    if (flags.readOnly === now.readOnly && flags.direct === now.direct) return {};
    const next = await openAs(this.context, this.given, flags, () => {
      flags.readOnly = true;
    });
    return {
      commit: async () => {
        const old = this.opened;
        if (next.locks) this.locks?.moveTo(next.locks);
        this.opened = next;
        this.limits = { requestAlignment: next.requestAlignment };
        await old.close();
      },
      abort: () => next.close(),
    };
  }

  close(): Promise<void> {
    return this.opened.close();
  }
}
