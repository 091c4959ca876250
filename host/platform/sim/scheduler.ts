/**
 * The simulator's event loop and virtual clock.
 *
 * Time stands still while anything can run: only when every promise that could go on has gone on, the earliest event
 * is taken and the clock jumps to it. Events of the same instant come in the order they were scheduled. So a run
 * depends on the seed and nothing else. When no event is left and what `run` waits for is still pending, nothing will
 * ever settle it: that is a deadlock, and `run` says so.
 *
 * Work that really is asynchronous (a codec's thread pool) is done one piece at a time through `outside`, and takes no
 * virtual time.
 */
import { assert } from '../../base/assert.ts';
import { clock as realClock } from '../node/clock.ts';
import type { Timer } from '../platform.ts';

/** A simulation that goes on for longer is taken for one that never ends. */
const maxEvents = 50_000_000;

/** The promise given to `run` can never settle. */
export class DeadlockError extends Error {
  override readonly name = 'DeadlockError';
}

/** `crash` was called while `run` was waiting. */
export class SimulatedCrash extends Error {
  override readonly name = 'SimulatedCrash';
}

interface SimEvent {
  timeNs: number;
  sequence: number;
  callback: (() => void) | undefined;
}

type Fail = (error: unknown) => void;

export class Scheduler {
  nowNs = 0;
  private readonly heap: SimEvent[] = [];
  private readonly outsideWork: (() => Promise<void>)[] = [];
  private readonly runs = new Set<Fail>();
  private sequence = 0;
  private eventCount = 0;
  private pumping = false;
  private stopped = false;

  /** `describe` tells what happened last, for the message of a deadlock. */
  constructor(private readonly describe: () => string) {}

  get crashed(): boolean {
    return this.stopped;
  }

  /** Events that are still to come. */
  get pending(): number {
    return this.heap.filter(({ callback }) => callback).length;
  }

  schedule(delayNs: number, callback: () => void): Timer {
    assert(delayNs >= 0, `delay of ${delayNs} ns`);
    const event: SimEvent = { timeNs: this.nowNs + delayNs, sequence: this.sequence++, callback };
    this.push(event);
    this.ensurePump();
    return {
      cancel() {
        event.callback = undefined;
      },
    };
  }

  sleep(delayNs: number): Promise<void> {
    return new Promise((resolve) => void this.schedule(delayNs, resolve));
  }

  /** Does real asynchronous work in the order of asking. */
  outside<T>(act: () => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.outsideWork.push(() => act().then(resolve, reject));
      this.ensurePump();
    });
  }

  /** Settles as `body` does. Rejects with DeadlockError when that never happens, and with SimulatedCrash. */
  run<T>(body: () => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const fail: Fail = (error) => {
        this.runs.delete(fail);
        reject(error);
      };
      this.runs.add(fail);
      const start = async (): Promise<T> => body();
      start().then((value) => {
        this.runs.delete(fail);
        resolve(value);
      }, fail);
      this.ensurePump();
    });
  }

  /** Nothing that was scheduled happens any more. */
  crash(): void {
    this.stopped = true;
    this.failRuns(new SimulatedCrash(`crashed at ${this.nowNs} ns`));
  }

  private ensurePump(): void {
    if (this.pumping || this.stopped) return;
    this.pumping = true;
    void this.pump();
  }

  private async pump(): Promise<void> {
    for (;;) {
      // A turn of the real event loop lets every promise go as far as it can.
      await realClock.yield();
      if (this.stopped) break;
      const work = this.outsideWork.shift();
      if (work) {
        await work();
        continue;
      }
      const event = this.pop();
      if (!event) break;
      this.fire(event);
    }
    this.pumping = false;
    if (!this.stopped && this.runs.size > 0) {
      this.failRuns(
        new DeadlockError(`deadlock at ${this.nowNs} ns: no timer and no I/O is left. ${this.describe()}`),
      );
    }
  }

  private fire({ timeNs, callback }: SimEvent): void {
    if (!callback) return;
    this.nowNs = timeNs;
    if (++this.eventCount > maxEvents) this.failRuns(new Error(`no end after ${maxEvents} events`));
    try {
      callback();
    } catch (error) {
      if (this.runs.size === 0) throw error;
      this.failRuns(error);
    }
  }

  private failRuns(error: unknown): void {
    for (const fail of [...this.runs]) fail(error);
  }

  // A binary heap, earliest first.

  private push(event: SimEvent): void {
    const { heap } = this;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (isBefore(heap[parent]!, event)) break; // parent < at
      heap[at] = heap[parent]!; // parent < at
      at = parent;
    }
    heap[at] = event;
  }

  private pop(): SimEvent | undefined {
    const { heap } = this;
    const first = heap[0];
    const last = heap.pop();
    if (!first || !last || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++; // both are in it
      if (isBefore(last, heap[child]!)) break; // child < length
      heap[at] = heap[child]!; // child < length
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(a: SimEvent, b: SimEvent): boolean {
  return a.timeNs < b.timeNs || (a.timeNs === b.timeNs && a.sequence < b.sequence);
}
