/**
 * A disk as it was at an instant, for as long as it takes to read it: a copy-before-write filter, with a buffer in memory and a scratch
 * file behind that. A guest's write waits for that file at most; when it fails, too, the instant is lost, and not the write. What has been read need not be kept, and guests' writes to it have nothing to save.
 */
import { asBlockError, BlockError } from '../../base/errors.ts';
import type { BlockBackend } from '../../block/backend.ts';
import type { BlockNode } from '../../block/node.ts';
import { Perm } from '../../block/permissions.ts';
import { defaultBufferBytes } from '../../copy/save-buffer.ts';
import { CopyBeforeWrite } from '../../filters/copy-before-write/driver.ts';
import { InsertedFilter } from '../filter-insertion.ts';
import type { Job } from '../job.ts';
import { NodeHolds } from '../node-holds.ts';
import type { NamedSource } from './opened.ts';
import type { StoreBackupOptions } from './options.ts';

/** What guests have overwritten is gone: no attempt will ever read it. */
export class InstantLost extends BlockError {}

export class KeptDisk {
  readonly bytes: number;
  private holds: NodeHolds | undefined;
  private isOver = false;

  private constructor(
    readonly name: string,
    private readonly filter: InsertedFilter<CopyBeforeWrite>,
    private readonly scratch: BlockNode,
  ) {
    this.bytes = filter.node.length;
  }

  /** From now on it is kept. Nothing is on its way to it. Errors: there is no room for a scratch file; permission conflicts. */
  static async keep({ name, node }: NamedSource, options: StoreBackupOptions): Promise<KeptDisk> {
    const { 'x-cbw-buffer': buffer = defaultBufferBytes, 'x-cbw-policy': policy = 'wait' } = options;
    const scratch = await openScratch(node, options.scratch);
    try {
      const filter = await InsertedFilter.above(node, {
        driver: 'copy-before-write',
        driverClass: CopyBeforeWrite,
        options: {
          ...{ file: node.name, target: scratch.name, 'on-cbw-error': 'break-snapshot' },
          'x-cbw-buffer': buffer,
          ...(buffer > 0 && { 'x-cbw-policy': policy }),
        },
        flags: { discard: true, readOnly: node.readOnly },
        nodeName: undefined,
        isImplicit: false,
      });
      return new KeptDisk(name, filter, scratch);
    } catch (error) {
      await node.graph.unref(scratch);
      throw error;
    }
  }

  /** The job stands still when somebody drains the disk. Errors: a permission conflict. */
  async holdBy(job: Job): Promise<void> {
    this.holds = new NodeHolds(job);
    await this.holds.holdFilter(this.filter.node, 'main node', Perm.none, Perm.all);
    await this.holds.hold(this.scratch, 'target', Perm.none, Perm.all);
  }

  get edges(): readonly BlockBackend[] {
    return this.holds?.edges ?? [];
  }

  async read(offset: number, buffer: Uint8Array): Promise<void> {
    const { snapshotAccess } = this.filter.driver;
    await this.unlessLost(snapshotAccess.read(offset, buffer));
  }

  /** How many of `most` bytes, of which nothing has been dropped, are known to be zero. */
  async zeroBytes(offset: number, most: number): Promise<number> {
    const { snapshotAccess } = this.filter.driver;
    const { zero, bytes } = await this.unlessLost(snapshotAccess.status(offset, most));
    return zero ? bytes : 0;
  }

  /** Nobody will read it. */
  async drop(offset: number, bytes: number): Promise<void> {
    await this.filter.driver.snapshotAccess.discard(offset, bytes);
  }

  /** Everything is as it was. Harmless when called again. */
  async end(): Promise<void> {
    if (this.isOver) return;
    this.isOver = true;
    await this.holds?.release();
    // What is on its way to the scratch file is of no use any more.
    this.filter.driver.disable();
    await this.filter.remove();
    await this.scratch.graph.unref(this.scratch);
  }

  private async unlessLost<T>(reading: Promise<T>): Promise<T> {
    try {
      return await reading;
    } catch (error) {
      if (asBlockError(error).errno !== 'EACCES') throw error;
      throw new InstantLost('ENOSPC', `There was no room for what guests have overwritten of '${this.name}'`);
    }
  }
}

/** As long as the disk, in a file without a name. Errors: it cannot be made. */
async function openScratch({ graph, length }: BlockNode, given: string | undefined): Promise<BlockNode> {
  const { platform } = graph;
  const folder = given ?? platform.temporaryDirectory;
  if (folder === undefined) throw new BlockError('ENOTSUP', 'There are no scratch files here');
  const random = new Uint8Array(8);
  platform.random.fill(random);
  const name = Array.from(random, (byte) => byte.toString(16).padStart(2, '0')).join('');
  const filename = `${folder}/blockyard-scratch-${name}`;
  try {
    const file = await platform.files.open(filename, { write: true, create: 'exclusive' });
    try {
      await file.truncate(length);
    } finally {
      await file.close();
    }
    return await graph.open(
      { driver: 'file', filename, locking: 'off', discard: 'unmap' },
      { readOnly: false },
    );
  } catch (error) {
    throw error instanceof BlockError ? error.within(`Could not make scratch file '${filename}'`) : error;
  } finally {
    await platform.files.unlink(filename).catch(() => {});
  }
}
