/**
 * The `copy-on-read` filter: what is read from below `file` is kept in `file`, in whole clusters (specification: graph,
 * sections 3 and 9; jobs, section 10).
 *
 * With `bottom` only data of the layers down to that node is copied; what lies deeper is passed through, and the links
 * from the filter to `bottom` are frozen. A cluster is copied while no write can touch it: the filter holds the node's
 * `populateLocks`, which all writes respect as long as the filter is there. What the node reads as stays the same, so
 * dirty bitmaps record nothing. A write-back that fails fails the read.
 *
 * A `copy-on-read` flag of a device is this filter, inserted below it.
 */
import { invalid } from '../base/errors.ts';
import { roundDown, roundUp } from '../base/sectors.ts';
import { isInChain } from '../block/chain.ts';
import { clusterBytesOf } from '../block/cluster-bytes.ts';
import type { Driver, DriverDefinition } from '../block/driver.ts';
import type { Edge } from '../block/edge.ts';
import type { BlockNode } from '../block/node.ts';
import type { OpenContext } from '../block/open-context.ts';
import { Perm } from '../block/permissions.ts';
import { blockStatus, isAllocatedAbove } from '../block/status.ts';
import { BufferPool } from '../copy/buffer-pool.ts';
import { isZero } from '../core/scan.ts';
import { optional, str, struct, type TypeOf } from '../qapi/types.ts';

/** Longest range that is locked and copied in one piece; longer clusters are copied whole nevertheless. */
const maxPieceBytes = 1 << 20;

const optionsType = struct('BlockdevOptionsCor', { bottom: optional(str) });

type Options = TypeOf<typeof optionsType>;

export class CopyOnRead implements Driver {
  /** Flags travel on with the request. */
  readonly supportsFua = true;
  private readonly pool = new BufferPool();
  private frozen = false;

  constructor(
    private readonly file: Edge,
    private readonly bottom: BlockNode | undefined,
  ) {}

  private get node(): BlockNode {
    return this.file.parent as BlockNode;
  }

  getLength(): Promise<number> {
    return this.file.getByteLength();
  }

  read(offset: number, buffer: Uint8Array): Promise<void> {
    return this.visit(offset, buffer.length, buffer);
  }

  /** Copies what reading the range would copy, and delivers nothing. Errors: of I/O; what was copied stays. */
  async prefetch(offset: number, bytes: number): Promise<void> {
    // As long as it is under way, draining the filter waits for it.
    const { node } = this;
    node.requestBegin();
    try {
      await this.visit(offset, Math.min(bytes, this.file.length - offset), undefined);
    } finally {
      node.requestEnd();
    }
  }

  writeCompressed(offset: number, buffer: Uint8Array): Promise<void> {
    return this.file.writeCompressed(offset, buffer);
  }

  private async visit(offset: number, bytes: number, buffer: Uint8Array | undefined): Promise<void> {
    for (let done = 0; done < bytes; ) {
      const piece = await this.look(offset + done, Math.min(bytes - done, maxPieceBytes));
      const part = buffer?.subarray(done, done + piece.bytes);
      if (piece.copy) await this.populate(offset + done, piece.bytes, part);
      else if (part) await this.file.read(offset + done, part);
      done += piece.bytes;
    }
  }

  /** Whether the start of the range has to be copied, and how much of it is like that. */
  private async look(offset: number, bytes: number): Promise<{ bytes: number; copy: boolean }> {
    const { file, bottom } = this;
    const own = await blockStatus(file.node, offset, bytes, false);
    if (own.bytes === 0 || own.allocated) return { bytes: own.bytes || bytes, copy: false };
    if (!bottom) return { bytes: own.bytes, copy: true };
    const above = await isAllocatedAbove(file.node, bottom, true, offset, own.bytes);
    return { bytes: above.bytes, copy: above.allocated };
  }

  /** Copies the clusters that the range touches and `file` has not got by now. */
  private async populate(offset: number, bytes: number, buffer: Uint8Array | undefined): Promise<void> {
    const { file } = this;
    const { start, end } = this.wholeClusters(offset, bytes);
    const release = await file.node.populateLocks.acquire(start, end - start);
    try {
      for (let at = start; at < end; ) {
        const own = await blockStatus(file.node, at, end - at, false);
        const stop = own.allocated ? at + own.bytes : this.wholeClusters(at, own.bytes).end;
        const from = Math.max(at, offset);
        const to = Math.min(stop, offset + bytes);
        const wanted = from < to ? buffer?.subarray(from - offset, to - offset) : undefined;
        if (!own.allocated) await this.copy(at, stop - at, from, wanted);
        else if (wanted) await file.read(from, wanted);
        at = stop;
      }
    } finally {
      release();
    }
  }

  /** Copies a range; `wanted` is the part of it that starts at `from`. */
  private async copy(
    offset: number,
    bytes: number,
    from: number,
    wanted: Uint8Array | undefined,
  ): Promise<void> {
    const { file } = this;
    // Not the caller's buffer: a guest may change that at any time, and here only what was read may be written.
    const buffer = this.pool.take(bytes);
    try {
      const data = buffer.subarray(0, bytes);
      await file.read(offset, data);
      if (file.debugged) await file.debugEvent('cor_write');
      if (isZero(data)) await file.writeZeroes(offset, bytes, { unchanged: true });
      else await file.write(offset, data, { unchanged: true });
      wanted?.set(data.subarray(from - offset, from - offset + wanted.length));
    } finally {
      this.pool.give(buffer);
    }
  }

  private wholeClusters(offset: number, bytes: number): { start: number; end: number } {
    const { node, length } = this.file;
    const clusterBytes = clusterBytesOf(node) || node.skipFilters().driver.limits?.requestAlignment || 1;
    const end = roundUp(offset + bytes, clusterBytes);
    return { start: roundDown(offset, clusterBytes), end: Math.min(length, end) };
  }

  childPermissions(
    _child: Edge,
    { perm, shared }: { perm: number; shared: number },
  ): { perm: number; shared: number } {
    return { perm: perm | Perm.writeUnchanged, shared };
  }

  freezeChain(): void {
    const { node, bottom } = this;
    if (!bottom) return;
    node.graph.freezeChain(node, bottom);
    this.frozen = true;
  }

  /** The links down to `bottom` may change again: nothing will be read through the filter any more. Once is enough. */
  releaseChain(): void {
    if (!this.frozen) return;
    this.frozen = false;
    this.node.graph.unfreezeChain(this.node, this.bottom);
  }

  async close(): Promise<void> {
    this.releaseChain();
  }
}

function findBottom(file: BlockNode, name: string): BlockNode {
  const bottom = file.graph.findNode(name);
  if (!bottom) throw invalid(`Bottom node '${name}' not found`);
  if (bottom.definition.kind === 'filter') throw invalid(`Bottom node '${name}' is a filter`);
  if (!isInChain(file, bottom)) {
    throw invalid(`Bottom node '${name}' is not in the backing chain of '${file.name}'`);
  }
  return bottom;
}

export const copyOnRead: DriverDefinition<Options> = {
  name: 'copy-on-read',
  writesOnRead: true,
  kind: 'filter',
  options: optionsType,
  children: [{ name: 'file' }],
  async open(context: OpenContext, { bottom }: Options): Promise<Driver> {
    const file = await context.openChild('file', 'filtered');
    const driver = new CopyOnRead(file, bottom === undefined ? undefined : findBottom(file.node, bottom));
    await file.exclude('writes');
    driver.freezeChain();
    return driver;
  },
};
