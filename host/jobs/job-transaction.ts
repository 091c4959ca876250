/**
 * What happens after a job's work is done: all jobs of a transaction succeed together or none does (specification:
 * jobs, section 4). Every job is in one; a job on its own has one to itself.
 *
 * Success: each finished job waits; when all wait they become pending, and are finalized at once unless one of them
 * wants to be told. Failure or cancellation of one: all others are force-cancelled, also those that wait already.
 * Jobs are gone through newest first.
 */
import { asBlockError } from '../base/errors.ts';
import type { Job } from './job.ts';

export class JobTransaction {
  /** Newest first; a job leaves when it is concluded. */
  private jobs: Job[] = [];
  private aborting = false;
  /** Settles when what is going on between the end of a job and its conclusion is over. */
  completion: Promise<void> | undefined;

  add(job: Job): void {
    this.jobs.unshift(job);
  }

  /** The job never came to life: creating it failed half way. */
  forget(job: Job): void {
    this.jobs = this.jobs.filter((other) => other !== job);
  }

  /** Called once for each job, when its work is over or will never begin. */
  async jobEnded(job: Job): Promise<void> {
    job.endWork();
    // While the transaction is being aborted, that goes on in the order of the list and comes to this job by itself.
    if (this.aborting) return;
    if (!job.settle()) return this.abort(job);
    job.becomeWaiting();
    if (this.jobs.some((other) => other.status !== 'waiting')) return;
    for (const other of this.jobs) other.becomePending();
    if (this.jobs.every((other) => other.autoFinalize)) await this.finalize();
  }

  /** All jobs are pending: makes their results final, unless that is happening already. */
  finalize(): Promise<void> {
    if (this.completion !== undefined) return this.completion;
    return this.complete(async () => {
      for (const job of [...this.jobs]) {
        try {
          await job.driver.prepare?.();
        } catch (error) {
          job.fail(asBlockError(error));
          return this.abortAll(job);
        }
      }
      for (const job of [...this.jobs]) await this.conclude(job);
    });
  }

  /** `cause` has failed or was cancelled: so do all others. Waits for what is being finalized already. */
  async abort(cause: Job): Promise<void> {
    if (this.aborting || this.completion !== undefined) return this.completion;
    await this.complete(() => this.abortAll(cause));
  }

  private async abortAll(cause: Job): Promise<void> {
    this.aborting = true;
    for (const job of this.jobs) if (job !== cause) job.requestCancel(true);
    const jobs = [...this.jobs];
    const end = (job: Job): void => {
      job.endWork();
      job.settle();
    };
    // Their work has to be over in all of them before the first is concluded.
    for (const job of jobs) {
      if (!job.wasStarted) continue;
      await job.whenEnded();
      end(job);
    }
    for (const job of jobs) {
      if (!job.wasStarted) end(job);
      await this.conclude(job);
    }
  }

  private async complete(act: () => Promise<void>): Promise<void> {
    const completion = act();
    this.completion = completion;
    try {
      await completion;
    } finally {
      if (this.completion === completion) this.completion = undefined;
    }
  }

  /** Commit or abort, clean up, tell, and go. Nothing here can fail any more: what does is only reported. */
  private async conclude(job: Job): Promise<void> {
    const { driver } = job;
    await attempt(job, job.error ? driver.abort?.bind(driver) : driver.commit?.bind(driver));
    await attempt(job, driver.clean?.bind(driver));
    if (job.wasStarted && driver.isBlockJob) {
      job.emitBlockJobEvent(job.isForceCancelled ? 'BLOCK_JOB_CANCELLED' : 'BLOCK_JOB_COMPLETED');
    }
    this.jobs = this.jobs.filter((other) => other !== job);
    job.conclude();
  }
}

async function attempt(job: Job, act: (() => Promise<void>) | undefined): Promise<void> {
  try {
    await act?.();
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    job.registry.platform.console.warn(`cleaning up after job '${job.id}': ${text}`);
  }
}
