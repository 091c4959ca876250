/**
 * A save buffer with nobody but guests around it: it drains to the target by itself.
 *
 * A target that fails keeps nobody from going on. What it has not taken stays here, where readers of the point in time
 * find it, until there is no room any more; then it gets another attempt, and only if that fails, the guest's write does.
 * The last attempt is when the buffer is closed.
 */
import { BufferPool } from './buffer-pool.ts';
import { PieceWriter } from './piece-writer.ts';
import { type BufferFill, SaveBuffer } from './save-buffer.ts';
import type { CopySource } from './saver.ts';
import type { Spiller } from './spiller.ts';

interface DrainingBufferOptions {
  limitBytes: number;
  spill: Spiller | undefined;
  /** Buffer and spill file are full, and the guest is not to wait. Absent: it waits. */
  onFull?: (() => void) | undefined;
  onAlarm(fill: BufferFill): void;
  /** Something is on its way to the target, or nothing any more. */
  onBusy(isBusy: boolean): void;
}

export class DrainingBuffer {
  readonly saver: SaveBuffer;
  private readonly writer: PieceWriter;

  constructor(
    private readonly filter: CopySource,
    options: DrainingBufferOptions,
  ) {
    const pool = new BufferPool();
    const { held, target } = filter;
    this.writer = new PieceWriter({
      target,
      pool,
      compress: false,
      onWritten: (piece) => held.delete(piece),
    });
    const { limitBytes, spill, onFull, onAlarm, onBusy } = options;
    this.saver = new SaveBuffer({
      filter,
      pool,
      writer: this.writer,
      limitBytes,
      spill,
      onSkipped: () => {},
      onChange: () => {},
      onStuck: async (error, attempt) => {
        if (attempt > 0) throw error;
        await this.retry();
      },
      giveUp: onFull && (() => this.giveUp(onFull)),
      onAlarm,
      onBusy,
    });
  }

  /** Lets the target have everything. False: it did not take all of it, which is lost. */
  async close(): Promise<boolean> {
    const { saver, filter } = this;
    await this.retry();
    await saver.whenIdle();
    const isComplete = saver.isEmpty;
    filter.disable();
    saver.close();
    await saver.dispose();
    return isComplete;
  }

  private async retry(): Promise<void> {
    this.saver.retry();
    await this.writer.retry();
    this.saver.pump();
    // In vain: those who have waited for this attempt must know.
    if (this.writer.error) this.saver.recheck();
  }

  private giveUp(onFull: () => void): void {
    this.saver.close();
    onFull();
  }
}
