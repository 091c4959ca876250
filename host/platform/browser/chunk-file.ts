/**
 * The stored chunks of one remote file: records of equal size in one file, found again by reading their heads.
 *
 *   mark 16 | record …      record: crc32 4 | chunk 4 | bytes 4 | unused 4 | data 65536      (little-endian)
 *
 * The checksum is over everything behind it. A record whose writing was cut short is none: it is found when it is read, and
 * its place taken by the next one. The mark is written at each opening, which makes the time of change that of the last use.
 */
import { crc32 } from '../../base/crc32.ts';
import type { OpfsFileHandle, SyncAccessHandle } from './opfs-types.ts';
import { PathLock } from './path-lock.ts';

/** Longest chunk that is kept. */
const mostBytes = 65_536;
const headBytes = 16;
/** What a chunk takes in the file. */
export const recordBytes = headBytes + mostBytes;
const mark = new TextEncoder().encode('blockyard chunks');

export class ChunkFile {
  /** Where the record of each chunk is. */
  private readonly places = new Map<number, number>();
  private readonly unused: number[] = [];
  private end = mark.length;
  private readonly record = new Uint8Array(recordBytes);
  private isClosed = false;

  private constructor(
    private readonly handle: SyncAccessHandle,
    private readonly lock: PathLock,
  ) {
    this.scan();
    handle.write(mark, { at: 0 });
  }

  /** Made when it is absent. Errors: another worker has it; whatever the browser says. */
  static async open(folder: FileSystemDirectoryHandle, name: string): Promise<ChunkFile> {
    const lock = new PathLock(`/${folder.name}/${name}`);
    await lock.acquire('exclusive');
    let handle: SyncAccessHandle | undefined;
    try {
      const file = (await folder.getFileHandle(name, { create: true })) as OpfsFileHandle;
      handle = await file.createSyncAccessHandle!({ mode: 'readwrite' }); // a TypeError where there is none is one more reason
      return new ChunkFile(handle, lock);
    } catch (error) {
      handle?.close();
      await lock.unlock();
      throw error;
    }
  }

  has(chunk: number): boolean {
    return this.places.has(chunk);
  }

  /** Whether the next chunk makes the file longer. */
  get mustGrow(): boolean {
    return this.unused.length === 0;
  }

  get(chunk: number): Uint8Array | undefined {
    const place = this.places.get(chunk);
    if (place === undefined || this.isClosed) return undefined;
    const record = new Uint8Array(recordBytes);
    this.handle.read(record, { at: place });
    const { crc, chunk: found, bytes } = headOf(record);
    if (found === chunk && bytes <= mostBytes && crc === checksum(record, bytes)) {
      return record.subarray(headBytes, headBytes + bytes);
    }
    this.places.delete(chunk);
    this.unused.push(place);
    return undefined;
  }

  /** Errors: what the browser throws when there is no space; the chunk is not there then. */
  put(chunk: number, bytes: Uint8Array): void {
    if (this.isClosed || bytes.length === 0 || bytes.length > mostBytes) return;
    const { record } = this;
    const view = new DataView(record.buffer);
    view.setUint32(4, chunk, true);
    view.setUint32(8, bytes.length, true);
    record.set(bytes, headBytes);
    view.setUint32(0, checksum(record, bytes.length), true);
    const place = this.takePlace();
    const whole = record.subarray(0, headBytes + bytes.length);
    if (this.handle.write(whole, { at: place }) === whole.length) this.places.set(chunk, place);
    else this.unused.push(place);
  }

  /** Nothing is found in it afterwards. */
  async close(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    this.handle.close();
    await this.lock.unlock();
  }

  private scan(): void {
    const size = this.handle.getSize();
    const head = new Uint8Array(headBytes);
    for (; this.end < size; this.end += recordBytes) {
      head.fill(0);
      this.handle.read(head, { at: this.end });
      const { chunk, bytes } = headOf(head);
      if (bytes === 0 || this.places.has(chunk)) this.unused.push(this.end);
      else this.places.set(chunk, this.end);
    }
  }

  private takePlace(): number {
    const place = this.unused.pop();
    if (place !== undefined) return place;
    this.end += recordBytes;
    return this.end - recordBytes;
  }
}

function headOf(record: Uint8Array): { crc: number; chunk: number; bytes: number } {
  const view = new DataView(record.buffer);
  return { crc: view.getUint32(0, true), chunk: view.getUint32(4, true), bytes: view.getUint32(8, true) };
}

function checksum(record: Uint8Array, bytes: number): number {
  return crc32(record.subarray(4, headBytes + bytes));
}
