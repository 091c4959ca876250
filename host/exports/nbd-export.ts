/**
 * A node exported by NBD (specification: nbd, section 4): its name, what clients may do, and the bitmaps that they may ask
 * for, which are busy as long as it is there.
 *
 * It goes away when it is asked to, with the connections of its clients; or, in safe mode, only if there are none.
 */
import { Waiters } from '../base/waiters.ts';
import type { DirtyBitmap } from '../bitmaps/dirty-bitmap.ts';
import type { BlockBackend } from '../block/backend.ts';
import { maxPayloadBytes, TransmissionFlag } from '../nbd/constants.ts';
import type { OfferedExport } from '../nbd/server/offer.ts';
import { allocationDepth, baseAllocation, dirtyBitmap, type NodeContext } from './nbd-contexts.ts';
import { NbdRequests } from './nbd-requests.ts';

interface NbdExportOptions {
  readonly name: string;
  readonly description: string;
  readonly writable: boolean;
  readonly allocationDepth: boolean;
  /** Found, and free. */
  readonly bitmaps: readonly DirtyBitmap[];
}

const preferredBytes = 4096;

export class NbdExport implements OfferedExport {
  readonly name: string;
  readonly description: string;
  readonly contexts: readonly NodeContext[];
  readonly requests: NbdRequests;
  /** Changes under way that nobody waits for any more. */
  private abandoned = 0;
  private readonly settled = new Waiters();
  private readonly isWritable: boolean;
  private readonly bitmaps: readonly DirtyBitmap[];

  /** `backend`: has the permissions that are needed, and is its own from now on. */
  constructor(
    readonly backend: BlockBackend,
    options: NbdExportOptions,
    /** Whether a client may have several connections: there could only be one. */
    private readonly allowsSeveral: boolean,
  ) {
    this.name = options.name;
    this.description = options.description;
    this.isWritable = options.writable;
    this.bitmaps = options.bitmaps;
    const node = (): BlockBackend['node'] => backend.node;
    this.contexts = [
      baseAllocation(node),
      ...(options.allocationDepth ? [allocationDepth(node)] : []),
      ...options.bitmaps.map((bitmap, index) => dirtyBitmap(bitmap, index)),
    ];
    this.requests = new NbdRequests(backend, this.contexts);
    for (const bitmap of options.bitmaps) bitmap.busy = true;
  }

  get size(): number {
    return this.backend.length;
  }

  get flags(): number {
    const { hasFlags, sendFlush, sendFua, sendCache } = TransmissionFlag;
    const { readOnly, sendTrim, sendWriteZeroes, sendFastZero, canMultiConn } = TransmissionFlag;
    const can = this.isWritable ? sendTrim | sendWriteZeroes | sendFastZero : readOnly;
    return hasFlags | sendFlush | sendFua | sendCache | can | (this.allowsSeveral ? canMultiConn : 0);
  }

  get blockSizes(): { minimum: number; preferred: number; maximum: number } {
    const { requestAlignment = 1, maxTransfer = 0 } = this.backend.node.driver.limits ?? {};
    const maximum = Math.min(maxTransfer || maxPayloadBytes, maxPayloadBytes);
    return { minimum: requestAlignment, preferred: Math.max(preferredBytes, requestAlignment), maximum };
  }

  /** A client is gone that has asked for so many changes which are still under way; `abandonedDone` follows for each. */
  abandon(changes: number): void {
    this.abandoned += changes;
  }

  abandonedDone(): void {
    this.abandoned--;
    if (this.abandoned === 0) this.settled.wake();
  }

  /**
   * Whether nothing is under way of clients that are gone. One that comes back asks again for what it was not answered, or gives it up;
   * what it asks for then must not be overwritten by what it asked for before.
   */
  get isSettled(): boolean {
    return this.abandoned === 0;
  }

  whenSettled(): Promise<void> {
    return this.settled.wait();
  }

  /** Once the last client is gone. */
  async close(): Promise<void> {
    for (const bitmap of this.bitmaps) bitmap.busy = false;
    await this.backend.close();
  }
}
