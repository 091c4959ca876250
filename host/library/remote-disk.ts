/**
 * A disk of the block layer in the worker, for an emulator in the page.
 *
 * What has been read or is near it stays at hand and is answered at once, within a bounded cache; writes pass through it
 * to the worker. It is coherent as long as nobody but this disk writes: a device without `share-rw` sees to that.
 * Whoever loads a snapshot into a stopped machine calls `forgetContent` before that goes on.
 */
import { roundDown, roundUp } from '../base/sectors.ts';
import type { DiskReference, GuestDisk } from '../emulator/guest-disk.ts';
import type { DiskAnswer, DiskRequest } from './disk-protocol.ts';
import { blockBytes, type Fetch, ReadCache } from './read-cache.ts';

interface PendingRead {
  readonly offset: number;
  readonly into: Uint8Array;
  readonly fetch: Fetch;
}

interface Pending {
  readonly read?: PendingRead;
  settle(): void;
}

/** How much of a disk is kept where the emulator is. */
export interface RemoteDiskOptions {
  /** What the page keeps at hand, in bytes; 0: nothing. Default: 16 MiB. */
  cacheBytes?: number;
}

const defaultCacheBytes = 16 << 20;

export class RemoteGuestDisk implements GuestDisk {
  private length: number;
  readonly isReadOnly: boolean;
  private reference: DiskReference;
  private readonly cache: ReadCache;
  private readonly pending = new Map<number, Pending>();
  private last = 0;
  private isClosed = false;

  private constructor(
    private readonly port: MessagePort,
    ready: DiskAnswer & { type: 'ready' },
    { cacheBytes = defaultCacheBytes }: RemoteDiskOptions,
  ) {
    this.length = ready.byteLength;
    this.isReadOnly = ready.isReadOnly;
    this.reference = ready.reference;
    this.cache = new ReadCache(cacheBytes);
    port.onmessage = ({ data }: MessageEvent<DiskAnswer>) => this.take(data);
  }

  /** Waits for the worker to serve the disk on the other end of `port`. */
  static connect(port: MessagePort, options: RemoteDiskOptions = {}): Promise<RemoteGuestDisk> {
    return new Promise((resolve) => {
      port.onmessage = ({ data }: MessageEvent<DiskAnswer>) => {
        if (data.type === 'ready') resolve(new RemoteGuestDisk(port, data, options));
      };
    });
  }

  get byteLength(): number {
    return this.length;
  }

  read(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<void> | undefined {
    if (into.length === 0 || signal?.aborted || this.isClosed) return undefined;
    if (this.cache.read(offset, into)) return undefined;
    const start = this.cache.isOff ? offset : roundDown(offset, blockBytes);
    const wanted = offset + into.length;
    const end = this.cache.isOff ? wanted : Math.min(this.length, roundUp(wanted, blockBytes));
    const fetch = this.cache.beginFetch(start, end - start);
    return new Promise((resolve) => {
      const id = this.send({ type: 'read', id: ++this.last, offset: start, bytes: end - start });
      const abandon = (): void => {
        this.pending.delete(id);
        this.cache.endFetch(fetch);
        this.send({ type: 'cancel', id });
        resolve();
      };
      signal?.addEventListener('abort', abandon, { once: true });
      const settle = (): void => {
        signal?.removeEventListener('abort', abandon);
        resolve();
      };
      this.pending.set(id, { read: { offset, into, fetch }, settle });
    });
  }

  async write(offset: number, data: Uint8Array): Promise<void> {
    if (data.length === 0 || this.isClosed) return;
    const { snapshot, generation } = this.reference;
    this.reference = { snapshot, generation: generation + 1 };
    this.cache.write(offset, data);
    const moved = data.slice();
    await this.ask({ type: 'write', id: ++this.last, offset, data: moved }, [moved.buffer]);
  }

  async flush(): Promise<void> {
    if (!this.isClosed) await this.ask({ type: 'flush', id: ++this.last });
  }

  getReference(): DiskReference {
    return this.reference;
  }

  /** What was read before may be of another content. */
  setReference(reference: DiskReference): void {
    this.forgetContent();
    this.reference = reference;
    this.send({ type: 'set-reference', reference });
  }

  /** The content is not what it was: nothing is answered from what has been read before. */
  forgetContent(): void {
    this.cache.clear();
  }

  /** Gives the disk back once all requests are answered. Later ones do nothing. */
  async close(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    await this.ask({ type: 'close', id: ++this.last });
    this.port.close();
    for (const { settle } of this.pending.values()) settle();
    this.pending.clear();
  }

  private ask(request: DiskRequest & { id: number }, transfer: Transferable[] = []): Promise<void> {
    return new Promise((settle) => {
      this.pending.set(request.id, { settle });
      this.send(request, transfer);
    });
  }

  private send<R extends DiskRequest>(request: R, transfer: Transferable[] = []): number {
    this.port.postMessage(request, transfer);
    return 'id' in request ? request.id : 0;
  }

  private take(answer: DiskAnswer): void {
    if (answer.type !== 'done') return;
    if (answer.byteLength !== undefined) {
      this.length = answer.byteLength;
      this.cache.clear();
    }
    const pending = this.pending.get(answer.id);
    if (!pending) return;
    this.pending.delete(answer.id);
    if (pending.read && answer.data) {
      const { offset, into, fetch } = pending.read;
      const at = offset - fetch.offset;
      into.set(answer.data.subarray(at, at + into.length));
      this.cache.endFetch(fetch, this.cache.isOff ? undefined : answer.data);
    }
    pending.settle();
  }
}
