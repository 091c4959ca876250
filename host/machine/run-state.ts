/**
 * Whether the machine runs, as query-status tells it (specification: cli, section 6; qmp-protocol, section 7).
 *
 * Requests of devices go through while it runs, and wait while it does not.
 */
import { Waiters } from '../base/waiters.ts';
import type { GraphEvent } from '../block/graph.ts';
import type { Clock } from '../platform/platform.ts';
import { enumeration, type TypeOf } from '../qapi/types.ts';

/** Every state QEMU's clients may be told about; only some are ever reached here. */
export const runStateType = enumeration('RunState', [
  'debug',
  'inmigrate',
  'internal-error',
  'io-error',
  'paused',
  'postmigrate',
  'prelaunch',
  'finish-migrate',
  'restore-vm',
  'running',
  'save-vm',
  'shutdown',
  'suspended',
  'watchdog',
  'guest-panicked',
  'colo',
]);

type RunStateName = TypeOf<typeof runStateType>;

/** Why it stands for a while. */
export type StandingState = 'paused' | 'io-error' | 'internal-error' | 'save-vm' | 'restore-vm';

export class RunState {
  private current: RunStateName = 'prelaunch';
  private readonly runWaiters = new Waiters();
  /** How long it ran, but for the present run, and when that began. */
  private ranNs = 0;
  private runningSinceNs = 0;

  constructor(
    private readonly emit: (event: GraphEvent) => void,
    private readonly clock: Clock,
  ) {}

  /** Nanoseconds that it has run: what a guest takes for the time since it was started. */
  get virtualClockNs(): number {
    return this.ranNs + (this.isRunning ? this.clock.nowNs() - this.runningSinceNs : 0);
  }

  /** It goes on from there. */
  set virtualClockNs(ns: number) {
    this.ranNs = ns;
    this.runningSinceNs = this.clock.nowNs();
  }

  get name(): RunStateName {
    return this.current;
  }

  get isRunning(): boolean {
    return this.current === 'running';
  }

  /** Settles at once while it runs. */
  async whenRunning(): Promise<void> {
    while (!this.isRunning) await this.runWaiters.wait();
  }

  /** Harmless while it runs. */
  resume(): void {
    if (this.isRunning) return;
    this.emit({ name: 'RESUME' });
    this.current = 'running';
    this.runningSinceNs = this.clock.nowNs();
    this.runWaiters.wake();
  }

  /** False when it did not run: then it stays in the state it is in. */
  stop(state: StandingState | 'shutdown'): boolean {
    if (!this.isRunning) return false;
    this.ranNs = this.virtualClockNs;
    this.current = state;
    this.emit({ name: 'STOP' });
    return true;
  }

  /** A machine that was switched off can run again. */
  reset(): void {
    if (this.current === 'shutdown') this.current = 'prelaunch';
  }

  /** The end. Nothing is told: SHUTDOWN has been. */
  shutDown(): void {
    this.current = 'shutdown';
  }
}
