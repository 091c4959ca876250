/**
 * An open disk of a repository, as a driver.
 *
 * It holds no lock: whoever prunes the repository meanwhile may move what it reads, which is found again, but must keep its snapshot.
 * Which snapshot `latest` is, is settled when the node is opened, and stands in its name from then on: an overlay rests on that one.
 */
import { asBlockError, invalid } from '../../base/errors.ts';
import type { Driver, Extent } from '../../block/driver.ts';
import type { OpenContext } from '../../block/open-context.ts';
import { secretText } from '../../block/secret-text.ts';
import { DiskReader } from '../../store/disk-reader.ts';
import { findDisk, latest } from '../../store/find-snapshot.ts';
import { openStore } from '../../store/open-store.ts';
import { Repository, repositoryPlatform } from '../../store/repository.ts';
import { requireReadOnly } from '../only-read.ts';
import { ReadAhead } from '../read-ahead.ts';
import type { StoreOptions } from './options.ts';

/** Longest read that is answered in one piece: what is on its way to one reader is not in the bound of what is kept. */
const maxTransfer = 8 << 20;
/** What is fetched beyond the end of what is read by somebody who reads on: a chunk or two at first. */
const readAheadBytes = 1 << 20;
const maxReadAheadBytes = 16 << 20;

/** Errors: what is wrong with the options; EACCES: it would be writable, or the password is another; why it cannot be read. */
export async function openStoredDisk(context: OpenContext, given: StoreOptions): Promise<Driver> {
  const { platform } = context;
  requireReadOnly(context, "'store' driver can only read: put an overlay on it to write");
  const { snapshot: wanted = latest, disk: path, repository: name } = given;
  if (wanted === latest && context.isNamedByImage)
    throw invalid(
      `a backing file cannot be the '${latest}' snapshot, which is another one after the next backup: name it by its id`,
    );
  const password = secretText(context, given['password-secret']);
  try {
    const objects = await openStore(name, platform);
    const repository = await Repository.open(repositoryPlatform(platform), objects, password);
    const { snapshot, disk } = await findDisk(repository, wanted, path);
    return new StoredDisk(await DiskReader.open(repository, disk.file), snapshot.id, path);
  } catch (error) {
    throw asBlockError(error).within(`Could not open disk '${path}' of repository '${name}'`);
  }
}

class StoredDisk implements Driver {
  readonly limits = { maxTransfer };
  private readonly readAhead = new ReadAhead(readAheadBytes);

  constructor(
    private readonly reader: DiskReader,
    private readonly snapshot: string,
    private readonly disk: string,
  ) {}

  get settledOptions(): Partial<StoreOptions> {
    return { snapshot: this.snapshot };
  }

  async getLength(): Promise<number> {
    return this.reader.layout.bytes;
  }

  read(offset: number, buffer: Uint8Array): Promise<void> {
    const part = this.withinDisk(offset, buffer);
    const done = this.reader.read(offset, part);
    this.fetchAhead(offset, buffer.length);
    return done;
  }

  readNow(offset: number, buffer: Uint8Array): boolean {
    if (!this.reader.readNow(offset, this.withinDisk(offset, buffer))) return false;
    this.fetchAhead(offset, buffer.length);
    return true;
  }

  private fetchAhead(offset: number, bytes: number): void {
    const ahead = this.readAhead.next(offset, bytes, maxReadAheadBytes);
    if (ahead) this.reader.prefetch(ahead.offset, ahead.bytes);
  }

  /** The last sector need not be full: what lies behind the end reads as zeros. */
  private withinDisk(offset: number, buffer: Uint8Array): Uint8Array {
    const bytes = Math.max(0, Math.min(buffer.length, this.reader.layout.bytes - offset));
    if (bytes === buffer.length) return buffer;
    buffer.fill(0, bytes);
    return buffer.subarray(0, bytes);
  }

  map(offset: number, bytes: number): Extent {
    const { layout } = this.reader;
    if (offset >= layout.bytes) return { type: 'own', bytes, zero: true };
    return { type: 'own', ...layout.status(offset, bytes) };
  }

  async getAllocatedBytes(): Promise<undefined> {
    return undefined;
  }

  async contentVersion(): Promise<string> {
    return `${this.disk} of snapshot ${this.snapshot}`;
  }

  close(): Promise<void> {
    return this.reader.whenIdle();
  }
}
