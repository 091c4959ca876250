/**
 * A node exported by NBD (specification: nbd, section 4): its name, what clients may do, and the bitmaps that they may ask
 * for, which are busy as long as it is there.
 *
 * It goes away when it is asked to, with the connections of its clients; or, in safe mode, only if there are none.
 */
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

  /** Once the last client is gone. */
  async close(): Promise<void> {
    for (const bitmap of this.bitmaps) bitmap.busy = false;
    await this.backend.close();
  }
}
