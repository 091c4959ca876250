/**
 * Disks in blocks of one size that are appended to the file when they are first written to: what VDI and VPC (dynamic) have
 * in common.
 *
 * - A block is in the table in memory only after its data, and zeros around them, were written.
 * - The table reaches the file when the node is flushed or closed, behind a barrier: a crash leaves every block as it was
 *   flushed, or as it was written since. Space that a crash leaves without an entry is zeroed before it is used again.
 * - Two writers to a block that is not there: the second waits for the first.
 *
 * Blocks are never given back: zeros and discards of a stored block are passed to the file, which may make a hole.
 */
import { createDeferred } from '../../base/deferred.ts';
import type { MaybePromise } from '../../base/maybe-promise.ts';
import { Mutex } from '../../base/mutex.ts';
import type {
  Allocation,
  Driver,
  DriverInfo,
  Extent,
  ReopenStep,
  WritePlan,
  ZeroFlags,
} from '../../block/driver.ts';
import type { Edge } from '../../block/edge.ts';
import type { OpenContext } from '../../block/open-context.ts';
import type { Blocks } from './blocks.ts';

/** Blocks that one extent of zeros has at the most: looking at them takes below a millisecond. */
const maxRunBlocks = 1 << 16;

interface AppendedTraits {
  /** What is not written reads as zeros, and nothing is stored before it is. */
  readonly hasZeroInit: boolean;
  /** Whether stored blocks may be holes of the file. */
  readonly mayHaveHoles: boolean;
}

export class AppendedDriver<B extends Blocks = Blocks> implements Driver {
  private readonly writeBacks = new Mutex();
  /** Blocks that are being stored for the first time. */
  private readonly pending = new Map<number, Promise<void>>();

  private constructor(
    private readonly context: OpenContext,
    private readonly file: Edge,
    private readonly load: () => Promise<B>,
    private readonly traits: AppendedTraits,
    public blocks: B,
  ) {}

  /** `load` reads the image as its file is now. Errors: what is wrong with it; of I/O. */
  static async open<B extends Blocks>(
    context: OpenContext,
    file: Edge,
    load: () => Promise<B>,
    traits: (blocks: B) => AppendedTraits,
  ): Promise<AppendedDriver<B>> {
    const blocks = await load();
    return new AppendedDriver(context, file, load, traits(blocks), blocks);
  }

  get hasZeroInit(): boolean {
    return this.traits.hasZeroInit || this.file.node.driver.hasZeroInit === true;
  }

  mayHaveHoles(): boolean {
    return this.traits.mayHaveHoles;
  }

  async getLength(): Promise<number> {
    return this.blocks.diskBytes;
  }

  map(offset: number, bytes: number): Extent {
    const { block, inBlock, part } = this.locate(offset, bytes);
    if (!this.blocks.isStored(block)) return { type: 'zero', bytes: this.zeroRun(block, inBlock, bytes) };
    return { type: 'data', bytes: part, child: this.file, offset: this.blocks.offsetOf(block) + inBlock };
  }

  /** Where in which block a request begins, and how much of it is in that one. */
  private locate(offset: number, bytes: number): { block: number; inBlock: number; part: number } {
    const { blockBytes } = this.blocks;
    const inBlock = offset % blockBytes;
    return { block: (offset - inBlock) / blockBytes, inBlock, part: Math.min(bytes, blockBytes - inBlock) };
  }

  /** How many of `bytes` nothing is stored for, from `inBlock` of `block` on, which is not stored. */
  private zeroRun(block: number, inBlock: number, bytes: number): number {
    const { blocks } = this;
    const last = Math.ceil((inBlock + bytes) / blocks.blockBytes) + block;
    const end = Math.min(last, block + maxRunBlocks);
    let next = block + 1;
    while (next < end && !blocks.isStored(next)) next++;
    return Math.min(bytes, (next - block) * blocks.blockBytes - inBlock);
  }

  prepareWrite(offset: number, bytes: number): MaybePromise<WritePlan> {
    const { block, inBlock, part } = this.locate(offset, bytes);
    if (this.blocks.isStored(block)) {
      const start = this.blocks.offsetOf(block);
      const plan = { bytes: part, child: this.file, offset: start + inBlock };
      const touched = this.blocks.touch?.(block, start);
      return touched === undefined ? plan : touched.then(() => plan);
    }
    const stored = this.pending.get(block);
    if (stored !== undefined) return stored.then(() => this.prepareWrite(offset, bytes));
    const space = this.blocks.take();
    const tailBytes = this.blocks.blockBytes - inBlock - part;
    return {
      bytes: part,
      child: this.file,
      offset: space.offset + inBlock,
      allocation: { headBytes: inBlock, tailBytes, ...this.allocation(block, space) },
    };
  }

  private allocation(
    block: number,
    { entry, offset }: { entry: number; offset: number },
  ): Pick<Allocation, 'commit' | 'abort'> {
    const { blocks, pending } = this;
    const { promise, resolve } = createDeferred();
    pending.set(block, promise);
    const end = (): void => {
      pending.delete(block);
      resolve();
    };
    const abort = (): void => {
      blocks.giveBack(entry);
      end();
    };
    const commit = async (): Promise<void> => {
      try {
        await blocks.complete(block, offset);
      } catch (error) {
        abort();
        throw error;
      }
      blocks.table.set(block, entry);
      blocks.added(entry);
      end();
    };
    return { commit, abort };
  }

  async writeZeroes(offset: number, bytes: number, flags: ZeroFlags): Promise<void> {
    await this.forStored(offset, bytes, (at, part) => this.file.writeZeroes(at, part, flags));
  }

  async discard(offset: number, bytes: number): Promise<void> {
    await this.forStored(offset, bytes, (at, part) => this.file.discard(at, part));
  }

  /** What is not stored reads as zeros as it is. */
  private async forStored(
    offset: number,
    bytes: number,
    act: (offset: number, bytes: number) => Promise<void>,
  ): Promise<void> {
    for (let done = 0; done < bytes; ) {
      const extent = this.map(offset + done, bytes - done);
      if (extent.type === 'data') await act(extent.offset, extent.bytes);
      done += extent.bytes;
    }
  }

  async flush(): Promise<void> {
    await this.writeBack(() => this.file.flush());
  }

  async writeOut(): Promise<void> {
    await this.writeBack(async () => {});
  }

  /** `barrier`: what was written before it must not be lost when what is written after it is there. */
  private writeBack(barrier: () => Promise<void>): Promise<void> {
    const { blocks, file } = this;
    return this.writeBacks.run(() =>
      blocks.table.writeBack(async (parts) => {
        await blocks.writeAhead();
        await barrier();
        for (const { offset, bytes } of parts) await file.write(offset, bytes);
      }),
    );
  }

  info(): DriverInfo {
    return { clusterBytes: this.blocks.blockBytes };
  }

  async reopen(): Promise<ReopenStep> {
    await this.settle();
    return {
      afterCommit: async () => {
        this.blocks = await this.load();
      },
    };
  }

  async close(): Promise<void> {
    await this.settle();
  }

  private async settle(): Promise<void> {
    if (!this.context.flags.readOnly) await this.flush();
  }
}
