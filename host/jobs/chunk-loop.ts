/**
 * The loop of jobs that go once through a disk from its start to its end: stream and intermediate commit
 * (specification: jobs, sections 9 and 10; throttling, section 6).
 *
 * One chunk at a time: pause and cancel are looked at between chunks, the speed limit counts what was copied, and guests and the
 * event loop get their turns. What a chunk takes, and what a failure means, is the job's affair.
 */
import { copyPacerOf } from '../copy/copy-pacer.ts';
import { RetryPause } from '../copy/retry-pause.ts';
import { Traffic } from '../copy/traffic.ts';
import type { Clock } from '../platform/platform.ts';
import type { Job } from './job.ts';

/** Longest chunk. */
export const loopChunkBytes = 512 << 10;

export interface Chunk {
  /** How far the loop goes on: 0 to do the same again. */
  bytes: number;
  /** Whether data was copied, which is what the speed limits. */
  copied: boolean;
}

export class ChunkLoop {
  private readonly traffic: Traffic;
  private readonly retryPause = new RetryPause();
  /** Since the last chunk: whoever is in a hurry must not wait for a sleep that has yet to begin. */
  private isInterrupted = false;

  constructor(clock: Clock) {
    this.traffic = new Traffic(clock);
  }

  /** The job is wanted at a pause point, or its speed has changed. */
  interrupt(): void {
    this.isInterrupted = true;
    this.traffic.wake();
  }

  /** Returns early when the job is cancelled. Rejects with what `step` rejects with. */
  async run(
    job: Job,
    length: number,
    step: (offset: number, bytes: number) => Promise<Chunk>,
  ): Promise<void> {
    const pacer = copyPacerOf(job.registry);
    job.progress.expect(length);
    let delayNs = 0;
    for (let offset = 0; offset < length; ) {
      // Even without a limit others must get between two chunks.
      await pacer.breathe(this.traffic);
      await this.rest(delayNs);
      this.isInterrupted = false;
      await job.pausePoint();
      if (job.isCancelled) return;
      const { bytes, copied } = await step(
        offset,
        Math.min(pacer.pieceBytes(loopChunkBytes), length - offset),
      );
      offset += bytes;
      job.progress.advance(bytes);
      if (bytes === 0) delayNs = this.retryPause.nextNs(offset);
      else delayNs = copied ? job.limiter.delay(bytes) : 0;
    }
    // A drained section or a pause that began with the last chunk.
    await this.rest(delayNs);
    await job.pausePoint();
  }

  private async rest(delayNs: number): Promise<void> {
    if (delayNs > 0 && !this.isInterrupted) await this.traffic.sleep(delayNs);
  }
}
