/**
 * A job: something that happens to disks over time, under a client's control (specification: jobs).
 *
 * The driver (backup, …) does the work in `run` and calls `pausePoint` where it can be held; everything a client can
 * see is here: status, pause accounting, cancelling, speed, error policy, progress. What follows after `run` is a matter
 * of the whole transaction (job-transaction.ts).
 *
 * Always: nobody else writes to a job; the status changes only in `setStatus`, along the table of states.ts;
 * `pauseCount` is the number of reasons to stand still (not yet started, a user's pause, one for each drained section on
 * a node of the job); a job parks only at a pause point; a force-cancelled job never parks.
 */
import { assert } from '../base/assert.ts';
import { BlockError, invalid } from '../base/errors.ts';
import { Waiters } from '../base/waiters.ts';
import { WorkProgress } from '../base/work-progress.ts';
import type { BlockBackend } from '../block/backend.ts';
import { type ErrorAction, errorAction, type OnError } from '../block/error-policy.ts';
import type { BlockNode } from '../block/node.ts';
import { RateLimiter } from '../copy/rate-limiter.ts';
import type { BufferFill } from '../copy/save-buffer.ts';
import type { WaitStatistics } from '../copy/wait-statistics.ts';
import { jobStateTransition } from '../trace/events.ts';
import type { JobRegistry } from './job-registry.ts';
import type { JobTransaction } from './job-transaction.ts';
import { accepts, isReady, type JobStatus, type JobVerb, mayFollow } from './states.ts';

type JobType =
  | 'backup'
  | 'mirror'
  | 'commit'
  | 'stream'
  | 'create'
  | 'amend'
  | 'snapshot-save'
  | 'snapshot-load'
  | 'snapshot-delete';

/** What is particular to a kind of job. A missing operation does nothing. */
export interface JobDriver {
  readonly type: JobType;
  /** Block jobs answer to block-job-* commands and end with a BLOCK_JOB_* event. */
  readonly isBlockJob: boolean;
  /** Its edges to nodes, in the order in which they were made: queries list them. */
  readonly edges?: readonly BlockBackend[];
  /** Where it copies to. What is on its way there need not be waited for when the job is cancelled. */
  readonly target?: BlockNode;
  /** Does the work. Rejects with a BlockError; returns early when `job.isCancelled`. */
  run(job: Job): Promise<void>;
  /** The job is wanted at a pause point, or its speed has changed: stop waiting, finish what is in flight, come. */
  interrupt?(): void;
  /** Last chance to fail, when all jobs of the transaction have succeeded. */
  prepare?(): Promise<void>;
  commit?(): Promise<void>;
  abort?(): Promise<void>;
  /** After commit or abort: lets go of all nodes. */
  clean?(): Promise<void>;
  /** Whether a soft cancel means the same as a forced one now; true when absent. */
  cancelsForcibly?(): boolean;
  complete?(): Promise<void>;
  /** Mirrors: nothing is missing in the target, and no write can come between. */
  isActivelySynced?(): boolean | undefined;
  /** Backups of which somebody has said how old data is to be buffered: how that goes. */
  readonly saving?: SavingInfo | undefined;
  /** What a client may change while the job runs. Absent: nothing. Errors: a value that it cannot change to. */
  readonly change?: ((to: JobChange) => void) | undefined;
}

/** How the copies go that guests' writes wait for. Times in nanoseconds, since the start. */
export interface SavingInfo {
  /** Absent: guests wait for the target. */
  readonly fill: BufferFill | undefined;
  readonly waits: WaitStatistics;
}

export interface JobChange {
  copyMode: 'background' | 'write-blocking';
}

interface JobOptions {
  id: string;
  transaction: JobTransaction;
  autoFinalize: boolean;
  autoDismiss: boolean;
}

interface JobState {
  status: JobStatus;
  speed: number;
  ioStatus: 'ok' | 'failed' | 'nospace';
  error: BlockError | undefined;
  /** A new job stands still until it is started. */
  pauseCount: number;
  userPaused: boolean;
  isCancelled: boolean;
  isForceCancelled: boolean;
  wasStarted: boolean;
  hasEnded: boolean;
}

export class Job {
  readonly id: string;
  readonly transaction: JobTransaction;
  readonly autoFinalize: boolean;
  readonly autoDismiss: boolean;
  readonly limiter: RateLimiter;
  /** In bytes. */
  readonly progress = new WorkProgress();
  private readonly state: JobState = {
    status: 'undefined',
    speed: 0,
    ioStatus: 'ok',
    error: undefined,
    pauseCount: 1,
    userPaused: false,
    isCancelled: false,
    isForceCancelled: false,
    wasStarted: false,
    hasEnded: false,
  };
  /** Wakes the parked job. */
  private unpark: (() => void) | undefined;
  private readonly quiescentWaiters = new Waiters();
  private readonly endWaiters = new Waiters();

  constructor(
    readonly registry: JobRegistry,
    readonly driver: JobDriver,
    options: JobOptions,
  ) {
    this.id = options.id;
    this.transaction = options.transaction;
    this.autoFinalize = options.autoFinalize;
    this.autoDismiss = options.autoDismiss;
    this.limiter = new RateLimiter(registry.platform.clock);
    this.transaction.add(this);
  }

  get type(): JobType {
    return this.driver.type;
  }

  // Status.

  get status(): JobStatus {
    return this.state.status;
  }

  /** Bytes per second, 0 for no limit. */
  get speed(): number {
    return this.state.speed;
  }

  get ioStatus(): JobState['ioStatus'] {
    return this.state.ioStatus;
  }

  /** Why the job did not succeed. */
  get error(): BlockError | undefined {
    return this.state.error;
  }

  /** There is a reason to stand still, whether the job does so already or not. */
  get isPaused(): boolean {
    return this.state.pauseCount > 0;
  }

  get userPaused(): boolean {
    return this.state.userPaused;
  }

  get isCancelled(): boolean {
    return this.state.isCancelled;
  }

  get isForceCancelled(): boolean {
    return this.state.isForceCancelled;
  }

  get wasStarted(): boolean {
    return this.state.wasStarted;
  }

  /** `run` is over, whatever its outcome, or will never begin. */
  get hasEnded(): boolean {
    return this.state.hasEnded;
  }

  /** The one writer of the status; emits JOB_STATUS_CHANGE when it really changes. */
  private setStatus(status: JobStatus): void {
    const { state } = this;
    assert(mayFollow(state.status, status), `job ${this.id} cannot go from ${state.status} to ${status}`);
    if (state.status === status) return;
    if (jobStateTransition.enabled) jobStateTransition.emit({ job: this.id, from: state.status, to: status });
    state.status = status;
    this.registry.emit({ name: 'JOB_STATUS_CHANGE', data: { status, id: this.id } });
  }

  checkVerb(verb: JobVerb): void {
    if (accepts(this.status, verb)) return;
    throw invalid(`Job '${this.id}' in state '${this.status}' cannot accept command verb '${verb}'`);
  }

  get isParked(): boolean {
    return this.unpark !== undefined;
  }

  /** On its way to a pause point or to its end: the only time at which a client sees the job busy. */
  get isBusy(): boolean {
    return this.wasStarted && !this.hasEnded && !this.isParked && (this.isPaused || this.isCancelled);
  }

  // Running.

  /** Everybody can see it from now on: → created. */
  announce(): void {
    this.setStatus('created');
  }

  /** Created → running; the driver starts at once unless a node of the job is drained. */
  start(): void {
    assert(this.status === 'created', `job ${this.id} started twice`);
    this.state.wasStarted = true;
    this.state.pauseCount--;
    this.setStatus('running');
    void this.main();
  }

  private async main(): Promise<void> {
    try {
      await this.pausePoint();
      if (!this.isForceCancelled) await this.driver.run(this);
    } catch (error) {
      this.fail(this.asJobError(error));
    }
    this.endWork();
    this.quiescentWaiters.wake();
    this.endWaiters.wake();
    await this.transaction.jobEnded(this);
  }

  /** A job is where bugs of its driver end: they fail the job and are told at the terminal. */
  private asJobError(error: unknown): BlockError {
    if (error instanceof BlockError) return error;
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.registry.platform.console.stderr(`job '${this.id}': ${text}`);
    return new BlockError('EIO', undefined, { cause: error });
  }

  /** Where a running job may be held: returns when nothing speaks against going on, or when it is cancelled. */
  async pausePoint(): Promise<void> {
    while (this.shouldPause()) {
      const { status } = this;
      this.setStatus(status === 'ready' ? 'standby' : 'paused');
      await new Promise<void>((resolve) => {
        this.unpark = () => {
          this.unpark = undefined;
          // Within the call that lets the job go on, so that the client sees it before that call's answer.
          this.setStatus(status);
          resolve();
        };
        this.quiescentWaiters.wake();
      });
    }
  }

  /** Whether the next pause point will hold the job. */
  shouldPause(): boolean {
    return this.isPaused && !this.isForceCancelled;
  }

  /** Whether `run` should come to a pause point, or return. */
  get isWanted(): boolean {
    return this.shouldPause() || this.isCancelled;
  }

  private hold(): void {
    this.state.pauseCount++;
    if (this.wasStarted && !this.hasEnded) this.driver.interrupt?.();
  }

  private release(): void {
    assert(this.isPaused, `job ${this.id} released more often than held`);
    this.state.pauseCount--;
    if (!this.isPaused) this.unpark?.();
  }

  // Draining: what BlockBackend's `onDrain` calls.

  drainBegin(): void {
    this.hold();
  }

  drainEnd(): void {
    this.release();
  }

  /** Settles when the driver is at a pause point or does not run at all. */
  async whenQuiescent(): Promise<void> {
    while (this.wasStarted && !this.hasEnded && !this.isParked) {
      await this.quiescentWaiters.wait();
    }
  }

  async whenEnded(): Promise<void> {
    if (!this.hasEnded) await this.endWaiters.wait();
  }

  // What a client asks for. Errors: BlockError with the words of the verb table.

  pause(): void {
    this.checkVerb('pause');
    if (this.userPaused) throw invalid('Job is already paused');
    this.state.userPaused = true;
    this.hold();
  }

  resume(): void {
    if (!this.userPaused) throw invalid("Can't resume a job that was not paused");
    this.checkVerb('resume');
    this.state.ioStatus = 'ok';
    this.state.userPaused = false;
    this.release();
  }

  /** Bytes per second, 0 for no limit. */
  setSpeed(speed: number): void {
    this.checkVerb('set-speed');
    if (speed < 0) throw invalid("Parameter 'speed' expects a non-negative value");
    const faster = speed === 0 || (this.speed !== 0 && speed > this.speed);
    this.state.speed = speed;
    this.limiter.setSpeed(speed);
    if (faster && this.wasStarted && !this.hasEnded && !this.isParked) this.driver.interrupt?.();
  }

  /** Settles when the job has reacted: at once while it works on requests, with its end where it can end at once. */
  async cancel(force: boolean): Promise<void> {
    this.checkVerb('cancel');
    await this.cancelAnyway(force);
  }

  /** `cancel` whatever the status: for shutting down and for undoing. */
  async cancelAnyway(force: boolean): Promise<void> {
    // Between the end of its work and its conclusion there is nothing left to cancel.
    if (this.transaction.completion !== undefined) return this.transaction.completion;
    this.requestCancel(force);
    if (!this.wasStarted) {
      if (!this.hasEnded) await this.transaction.jobEnded(this);
    } else if (this.hasEnded && this.isForceCancelled) {
      await this.transaction.abort(this);
    }
    await this.reaction();
  }

  /** Notes that the job is to end and wakes it; what a transaction does to the others when one of its jobs fails. */
  requestCancel(force: boolean): void {
    if (this.userPaused) {
      this.state.userPaused = false;
      this.state.pauseCount--;
    }
    this.state.isCancelled = true;
    if (force || (this.driver.cancelsForcibly?.() ?? true)) this.state.isForceCancelled = true;
    if (!this.wasStarted || this.hasEnded) return;
    if (this.state.isForceCancelled) this.driver.target?.cancelWaiting();
    this.driver.interrupt?.();
    if (!this.shouldPause()) this.unpark?.();
  }

  async complete(): Promise<void> {
    this.checkVerb('complete');
    if (this.isCancelled || !this.driver.complete) {
      throw invalid(`The active block job '${this.id}' cannot be completed`);
    }
    await this.driver.complete();
  }

  async finalize(): Promise<void> {
    this.checkVerb('finalize');
    await this.transaction.finalize();
  }

  /** `to`: absent for a job of a type that has nothing to change. */
  change(to: JobChange | undefined): void {
    this.checkVerb('change');
    if (!this.driver.change) throw invalid('Job type does not support change');
    if (to) this.driver.change(to);
  }

  dismiss(): void {
    this.checkVerb('dismiss');
    this.disappear();
  }

  // How it ends: what JobTransaction calls, and nobody else.

  /** Its work is over, or will never begin. */
  endWork(): void {
    this.state.hasEnded = true;
  }

  /** It has not succeeded. */
  fail(error: BlockError): void {
    this.state.error = error;
  }

  /**
   * Gives whether it has succeeded; one that has not is aborting now. A job that was force-cancelled has failed, even when
   * its work was done before.
   */
  settle(): boolean {
    if (!this.error && this.isForceCancelled) this.fail(new BlockError('ECANCELED'));
    if (this.error) this.setStatus('aborting');
    return !this.error;
  }

  /** Its work is done, that of others of its transaction is not. */
  becomeWaiting(): void {
    this.setStatus('waiting');
  }

  /** All have done their work. */
  becomePending(): void {
    this.setStatus('pending');
    if (this.autoFinalize) return;
    this.registry.emit({ name: 'BLOCK_JOB_PENDING', data: { type: this.type, id: this.id } });
  }

  /** Committed or aborted, and cleaned up: tells so, and goes unless it is to be dismissed. */
  conclude(): void {
    this.setStatus('concluded');
    if (this.autoDismiss || !this.wasStarted) this.disappear();
  }

  /** → null, and the id is free again. */
  disappear(): void {
    this.setStatus('null');
    this.registry.remove(this);
  }

  /**
   * Settles when everything has happened that can happen at once after a command: a job that sleeps or stands still
   * reacts before the command's answer, one with requests in flight after it.
   */
  async reaction(): Promise<void> {
    await this.registry.platform.clock.yield();
    await this.transaction.completion;
  }

  // What drivers report.

  /** Full stop at the first request of `stop`; the caller then goes to its pause point. */
  handleError(operation: 'read' | 'write', policy: OnError, error: BlockError): ErrorAction {
    const action = errorAction(policy, error.errno);
    this.registry.emit({ name: 'BLOCK_JOB_ERROR', data: { device: this.id, operation, action } });
    if (action === 'stop') {
      if (!this.userPaused) {
        this.state.userPaused = true;
        this.state.pauseCount++;
      }
      if (this.ioStatus === 'ok') this.state.ioStatus = error.errno === 'ENOSPC' ? 'nospace' : 'failed';
    }
    return action;
  }

  /** Running → ready, once. */
  becomeReady(): void {
    this.setStatus('ready');
    this.emitBlockJobEvent('BLOCK_JOB_READY');
  }

  get isReady(): boolean {
    return isReady(this.status);
  }

  emitBlockJobEvent(name: 'BLOCK_JOB_READY' | 'BLOCK_JOB_COMPLETED' | 'BLOCK_JOB_CANCELLED'): void {
    this.registry.emit({
      name,
      data: {
        type: this.type,
        device: this.id,
        len: this.progress.total,
        offset: this.progress.current,
        speed: this.speed,
        ...(name === 'BLOCK_JOB_COMPLETED' && this.error ? { error: this.error.message } : {}),
      },
    });
  }
}
