/**
 * A disk for v86: the object for its options `hda`, `hdb` and `cdrom`, over any GuestDisk (specification: v86-disk).
 *
 * Members have the names that v86 calls them by; versions differ in which they call. Nothing here ever throws into the
 * loop of the processor. A request is answered before its call returns when the disk has the data at hand. A read sees
 * every write that was made before it, answered or not. Bytes past the end read as zeros and are not written.
 */

import { invalid } from '../../base/errors.ts';
import { InFlight } from '../../base/in-flight.ts';
import { sectorBytes } from '../../base/sectors.ts';
import type { DiskReference, GuestDisk } from '../guest-disk.ts';

/** Sectors are of 512 bytes, of CDs 2048. */
export type V86DiskKind = 'disk' | 'cdrom';

/** Length in bytes, snapshot, generation: what a saved machine keeps of a disk in place of its content. */
export type V86DiskState = [byteLength: number, snapshot: string, generation: number];

const kindSectorBytes: Readonly<Record<V86DiskKind, number>> = { disk: sectorBytes, cdrom: 2048 };
/**
 * A guest that writes by programmed I/O is told before the write is made, and does not wait. With more than so many
 * unanswered it has to stand until they are: they take memory, and are lost with the process. By DMA there is one.
 */
const maxQueuedWrites = 32;
/** v86 counts sectors of 512 bytes in 32 bits. */
const maxSectors = 2 ** 32 - 1;

/** What v86 takes as `hda`, `hdb` and `cdrom`. A request that fails waits, or is over, as the disk below decides. */
export class V86Disk {
  /** Set by v86 before it calls `load`. */
  onload: ((event: object) => void) | undefined;
  /** Set by the processor: called when `isCongested` has changed. */
  onCongestion: (() => void) | undefined;
  private readonly inFlight = new InFlight();
  private writes = 0;
  private congested = false;
  /** What `get_and_cache` has read, until something is written there. */
  private head: { start: number; data: Uint8Array } | undefined;
  /** What the machine that was restored last had when it was saved. */
  private restored: V86DiskState | undefined;

  /** Errors: BlockError, when v86 cannot have a disk of this size. */
  constructor(
    readonly disk: GuestDisk,
    readonly kind: V86DiskKind = 'disk',
  ) {
    const bytes = disk.byteLength;
    if (bytes % kindSectorBytes[kind] !== 0) {
      throw invalid(
        `v86 needs a ${kind} whose size is a multiple of ${kindSectorBytes[kind]} bytes, not ${bytes} bytes`,
      );
    }
    if (bytes / sectorBytes > maxSectors) {
      throw invalid(
        `v86 counts sectors in 32 bits: a disk of ${bytes} bytes is too large, ${maxSectors * sectorBytes} bytes is the most`,
      );
    }
  }

  get byteLength(): number {
    return this.disk.byteLength;
  }

  load(): void {
    this.onload?.({});
  }

  get(
    start: number,
    bytes: number,
    done: ((data: Uint8Array) => void) | undefined,
    options?: { signal?: AbortSignal | undefined },
  ): void {
    const data = new Uint8Array(bytes);
    const signal = options?.signal;
    const inside = Math.max(0, Math.min(bytes, this.byteLength - start));
    const into = inside === bytes ? data : data.subarray(0, inside);
    const reading = inside > 0 ? this.disk.read(start, into, signal) : undefined;
    if (!reading) {
      done?.(data);
      return;
    }
    this.track(reading, () => {
      if (!signal?.aborted) done?.(data);
    });
  }

  set(start: number, data: Uint8Array, done?: () => void): void {
    const inside = Math.max(0, Math.min(data.length, this.byteLength - start));
    if (inside === 0) {
      done?.();
      return;
    }
    const { head } = this;
    if (head && start < head.start + head.data.length && head.start < start + inside) this.head = undefined;
    if (++this.writes > maxQueuedWrites) this.setCongested(true);
    this.track(this.disk.write(start, inside === data.length ? data : data.subarray(0, inside)), () => {
      if (--this.writes === 0) this.setCongested(false);
      done?.();
    });
  }

  /** The guest has written faster than the disk: it must not run until all of that is done. */
  get isCongested(): boolean {
    return this.congested;
  }

  private setCongested(congested: boolean): void {
    if (congested === this.congested) return;
    this.congested = congested;
    this.onCongestion?.();
  }

  /** Current versions read the first sector so before the guest starts, to find the geometry in it. */
  get_and_cache(
    start: number,
    bytes: number,
    done: ((data: Uint8Array) => void) | undefined,
    options?: { signal?: AbortSignal | undefined },
  ): void {
    this.get(
      start,
      bytes,
      (data) => {
        this.head = { start, data: data.slice() };
        done?.(data);
      },
      options,
    );
  }

  get_from_cache(start: number, bytes: number): Uint8Array | undefined {
    const { head } = this;
    if (!head || start < head.start || start + bytes > head.start + head.data.length) return undefined;
    return head.data.slice(start - head.start, start - head.start + bytes);
  }

  get_state(): V86DiskState {
    const { snapshot, generation } = this.disk.getReference();
    return [this.byteLength, snapshot, generation];
  }

  set_state([bytes, snapshot, generation]: V86DiskState): void {
    this.head = undefined;
    this.restored = [bytes, snapshot, generation];
  }

  /** The content that the machine restored since the last call expects; `byteLength` as it was then. */
  takeRestored(): { byteLength: number; reference: DiskReference } | undefined {
    const { restored } = this;
    this.restored = undefined;
    if (!restored) return undefined;
    const [byteLength, snapshot, generation] = restored;
    return { byteLength, reference: { snapshot, generation } };
  }

  /** Settles when every request made so far has been answered. */
  whenIdle(): Promise<void> {
    return this.inFlight.whenIdle();
  }

  get isIdle(): boolean {
    return this.inFlight.isIdle;
  }

  private track(request: Promise<void>, answer: () => void): void {
    this.inFlight.begin();
    void request.then(answer).finally(() => this.inFlight.end());
  }
}
