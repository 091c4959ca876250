/**
 * What a request of an NBD client does to the disk that is exported (specification: nbd, section 3).
 *
 * `perform` returns undefined when the answer is written already, as for small reads of what is in memory, and else a
 * promise that never rejects: what fails is the answer. Zeros that are known without reading are told as holes, to clients
 * that have structured replies and do not forbid it.
 */
import { asBlockError, BlockError } from '../base/errors.ts';
import type { MaybePromise } from '../base/maybe-promise.ts';
import { sectorBytes } from '../base/sectors.ts';
import type { BlockBackend } from '../block/backend.ts';
import { type BlockStatus, statusAbove } from '../block/status.ts';
import { BufferPool } from '../copy/buffer-pool.ts';
import { firstRun } from '../copy/status-runs.ts';
import { isZero } from '../core/scan.ts';
import { Command, CommandFlag, maxExtents, toWireError } from '../nbd/constants.ts';
import type { Replies } from '../nbd/server/replies.ts';
import type { Request } from '../nbd/server/request.ts';
import type { NodeContext } from './nbd-contexts.ts';

/** Of what is read for CACHE, and of no use to anybody. */
const cachePieceBytes = 1 << 20;

export class NbdRequests {
  /** What large reads are read into, and sent from. */
  private readonly pool = new BufferPool();

  constructor(
    private readonly backend: BlockBackend,
    private readonly contexts: readonly NodeContext[],
  ) {}

  perform(request: Request, replies: Replies): Promise<void> | undefined {
    if (request.command !== Command.read) return this.answer(request, replies);
    return this.readNow(request, replies) ? undefined : this.answer(request, replies);
  }

  private async answer(request: Request, replies: Replies): Promise<void> {
    try {
      await this.act(request, replies);
    } catch (error) {
      const { errno, message } = asBlockError(error);
      replies.fail(request, toWireError(errno), message);
    }
  }

  private async act(request: Request, replies: Replies): Promise<void> {
    const { backend } = this;
    const { command, offset, length, flags, isFua: fua } = request;
    switch (command) {
      case Command.read:
        if (fua) await failingAs('flush failed', backend.flush());
        return this.read(request, replies);
      case Command.write:
        // What was checked has its data with it.
        await failingAs('writing to file failed', backend.write(offset, request.payload ?? nothing, { fua }));
        break;
      case Command.writeZeroes: {
        const mayUnmap = (flags & CommandFlag.noHole) === 0;
        const noFallback = (flags & CommandFlag.fastZero) !== 0;
        const zeros = backend.writeZeroes(offset, length, { fua, mayUnmap, noFallback });
        await failingAs('writing to file failed', zeros);
        break;
      }
      case Command.trim:
        await failingAs('discard failed', backend.discard(offset, length));
        if (fua) await failingAs('discard failed', backend.flush());
        break;
      case Command.flush:
        await failingAs('flush failed', backend.flush());
        break;
      case Command.cache:
        await failingAs('caching data failed', this.cache(offset, length));
        break;
      case Command.blockStatus:
        return this.status(request, replies);
    }
    replies.done(request);
  }

  /** Whether a small read could be answered at once, and is. */
  private readNow(request: Request, replies: Replies): boolean {
    if (request.isFua) return false;
    const room = replies.dataInPlace(request);
    if (!room) return false;
    const { offset } = request;
    const sparse = replies.takesHoles(request);
    // A file that ends within a sector has a hole behind its end.
    const isWhole = !sparse || offset + request.length <= this.backend.length - sectorBytes;
    if (isWhole && this.backend.readNow(offset, room.data) && !(sparse && mayHaveHoles(offset, room.data)))
      return true;
    room.takeBack();
    return false;
  }

  private async read(request: Request, replies: Replies): Promise<void> {
    const { offset, length } = request;
    if (length === 0) {
      replies.empty(request);
      return;
    }
    if (!replies.takesHoles(request)) {
      await this.readData(request, replies, offset, length, true);
      return;
    }
    const ask = (at: number, bytes: number): MaybePromise<BlockStatus> =>
      statusAbove(this.backend.node, undefined, at, bytes);
    for (let at = offset, end = offset + length; at < end; ) {
      const run = await failingAs('unable to check for holes', firstRun(at, end - at, ask, isAlike));
      const isLast = at + run.bytes === end;
      if (run.zero) {
        replies.hole(request, at, run.bytes, isLast);
      } else {
        await this.readData(request, replies, at, run.bytes, isLast);
      }
      at += run.bytes;
    }
  }

  private async readData(
    request: Request,
    replies: Replies,
    offset: number,
    bytes: number,
    isLast: boolean,
  ): Promise<void> {
    const buffer = this.pool.take(bytes);
    const data = buffer.subarray(0, bytes);
    await failingAs('reading from file failed', this.backend.read(offset, data));
    replies.data(request, offset, data, isLast, () => this.pool.give(buffer));
  }

  private async cache(offset: number, bytes: number): Promise<void> {
    const piece = new Uint8Array(Math.min(bytes, cachePieceBytes));
    for (let done = 0; done < bytes; done += piece.length)
      await this.backend.read(offset + done, piece.subarray(0, bytes - done));
  }

  private async status(request: Request, replies: Replies): Promise<void> {
    const { bytes, contexts } = request.status!; // a BLOCK_STATUS has it
    const limit = (request.flags & CommandFlag.reqOne) === 0 ? maxExtents : 1;
    for (const [index, { id }] of contexts.entries()) {
      const context = this.contexts.find((one) => one.id === id)!; // the client chose among these
      const extents = await failingAs(
        "can't get block status",
        context.extents(request.offset, bytes, limit),
      );
      replies.status(request, id, extents, index === contexts.length - 1);
    }
  }
}

const nothing = new Uint8Array(0);

function isAlike(one: BlockStatus, next: BlockStatus): boolean {
  return (
    one.zero === next.zero &&
    one.data === next.data &&
    one.allocated === next.allocated &&
    one.depth === next.depth
  );
}

/** Clients are told what could not be done rather than why: the number says that. */
async function failingAs<T>(what: string, done: Promise<T>): Promise<T> {
  try {
    return await done;
  } catch (error) {
    throw new BlockError(asBlockError(error).errno, what);
  }
}

/** Whether part of what was read at `offset` may be a hole: those begin and end with a sector, but for what a request cuts off. */
function mayHaveHoles(offset: number, data: Uint8Array): boolean {
  const { length } = data;
  for (let at = 0; at < length; ) {
    const end = Math.min(length, at + sectorBytes - ((offset + at) % sectorBytes));
    if (data[at] === 0 && isZero(data.subarray(at, end))) return true;
    at = end;
  }
  return false;
}
