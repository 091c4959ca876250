/**
 * All jobs of one monitor: one name space for their ids, newest first (specification: jobs, section 1).
 */
import { BlockError, invalid } from '../base/errors.ts';
import type { GraphEvent } from '../block/graph.ts';
import { GuestLatency } from '../block/guest-latency.ts';
import type { Platform } from '../platform/platform.ts';
import { isIdentifier } from '../qapi/identifier.ts';
import { Job, type JobDriver } from './job.ts';
import { JobTransaction } from './job-transaction.ts';

interface CreateJobOptions {
  /** By default the name of the source's device, which is empty for nodes added by name. */
  id: string;
  /** One of its own when absent. */
  transaction?: JobTransaction | undefined;
  /** Bytes per second; 0: no limit. */
  speed?: number | undefined;
  autoFinalize?: boolean | undefined;
  autoDismiss?: boolean | undefined;
}

/** Of a job that works with nodes. */
interface AttachedDriver extends JobDriver {
  /** Takes hold of the nodes. Errors: permission conflicts, ENOMEM. */
  attach(job: Job): Promise<void>;
  /** Lets go of all nodes, however far `attach` has come. */
  clean(): Promise<void>;
}

export class JobRegistry {
  readonly platform: Platform;
  readonly emit: (event: GraphEvent) => void;
  /** Whom jobs that copy stand back for. */
  readonly guests: GuestLatency;
  private jobs: Job[] = [];

  /** `guests` absent: there are none. */
  constructor(options: { platform: Platform; guests?: GuestLatency; emit(event: GraphEvent): void }) {
    this.platform = options.platform;
    this.emit = options.emit;
    this.guests = options.guests ?? new GuestLatency();
  }

  /** Newest first. */
  list(): readonly Job[] {
    return this.jobs;
  }

  find(id: string): Job | undefined {
    return this.jobs.find((job) => job.id === id);
  }

  /** Throws `Job not found`. */
  get(id: string): Job {
    const job = this.find(id);
    if (!job) throw invalid('Job not found');
    return job;
  }

  /** For block-job-* commands. Throws DeviceNotActive, also for a job of another kind. */
  getBlockJob(id: string): Job {
    const job = this.find(id);
    if (job?.driver.isBlockJob) return job;
    throw new BlockError('EINVAL', `Block job '${id}' not found`, { class: 'DeviceNotActive' });
  }

  /** Throws the error of a malformed id or one in use. */
  checkId(id: string): void {
    if (!isIdentifier(id)) throw invalid(`Invalid job ID '${id}'`);
    if (this.find(id)) throw invalid(`Job ID '${id}' already in use`);
  }

  /** A job in status `created`. Errors: a bad id; a bad speed, after which the job has come and gone. */
  create(driver: JobDriver, options: CreateJobOptions): Job {
    const { id } = options;
    this.checkId(id);
    const job = new Job(this, driver, {
      id,
      transaction: options.transaction ?? new JobTransaction(),
      autoFinalize: options.autoFinalize ?? true,
      autoDismiss: options.autoDismiss ?? true,
    });
    this.jobs.unshift(job);
    job.announce();
    try {
      job.setSpeed(options.speed ?? 0);
    } catch (error) {
      this.discard(job);
      throw error;
    }
    return job;
  }

  /** As `create`, with hold of its nodes. After an error the job has come and gone, and its driver is cleaned up. */
  async createAttached(driver: AttachedDriver, options: CreateJobOptions): Promise<Job> {
    let job: Job | undefined;
    try {
      job = this.create(driver, options);
      await driver.attach(job);
      return job;
    } catch (error) {
      if (job) this.discard(job);
      await driver.clean();
      throw error;
    }
  }

  /** Takes back a job that was created and not started, without a trace but its status changes. */
  discard(job: Job): void {
    job.transaction.forget(job);
    job.disappear();
  }

  /** For `Job` alone: it has become null. */
  remove(job: Job): void {
    this.jobs = this.jobs.filter((other) => other !== job);
  }

  /** Force-cancels everything and waits for its end: shutting down. Nothing is left, dismissed or not. */
  async cancelAll(): Promise<void> {
    for (let job = this.jobs[0]; job; job = this.jobs[0]) {
      if (job.status === 'concluded') {
        job.dismiss();
        continue;
      }
      await job.cancelAnyway(true);
      if (job.wasStarted) await job.whenEnded();
      await job.reaction();
    }
  }
}
